"""A case: a complaint being followed until the customer confirms, and everything that happened to it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, text_column, time_column

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXY"
"""31 signs without 0 O 1 I Z, so that a reference can be read out; a prime number, for the check sign."""
_BASE = len(ALPHABET)
_COUNT = _BASE**6
_SPREAD = 0x2C1B3C6D
"""No multiple of 31, so that multiplying by it modulo 31**6 reorders the numbers and repeats none (a bijection)."""


class CaseStatus(StrEnum):
    OPEN = "open"
    """Nobody has begun."""
    WORKING = "working"
    WAITING = "waiting"
    """For the customer, which stops its clock, or for somebody outside, which does not: see `waits_for`."""
    RESOLVED = "resolved"
    """We think so; the customer is asked."""
    CLOSED = "closed"


class WaitsFor(StrEnum):
    NOBODY = ""
    CUSTOMER = "customer"
    OUTSIDE = "outside"
    """A supplier, a partner, an authority."""


class Severity(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class Origin(StrEnum):
    """Who opened it."""

    DETECTED = "detected"
    AGENT = "agent"
    PORTAL = "portal"
    BOT = "bot"
    """The customer, by answering the bot."""


class Outcome(StrEnum):
    """How a closed case ended."""

    OPEN = ""
    CONFIRMED = "confirmed"
    """The customer said that it is solved."""
    SILENT = "silent"
    """Asked, and never answered."""
    UNFOUNDED = "unfounded"
    WITHDRAWN = "withdrawn"
    DUPLICATE = "duplicate"


class Cause(StrEnum):
    """Where a complaint really came from; chosen by people when it is solved."""

    UNKNOWN = ""
    PRODUCT = "product"
    SYSTEM = "system"
    PROCESS = "process"
    STAFF = "staff"
    INFORMATION = "information"
    SUPPLIER = "supplier"
    CUSTOMER = "customer"
    OUTSIDE = "outside"


class Redress(StrEnum):
    """What the customer got for it."""

    UNKNOWN = ""
    NONE = "none"
    APOLOGY = "apology"
    REPAIR = "repair"
    REPLACEMENT = "replacement"
    REFUND = "refund"
    CREDIT = "credit"


class Case(SQLModel, table=True):
    """A complaint that somebody owns."""

    __tablename__ = "complaint_case"
    __table_args__ = (
        Index("ix_case_queue", "status", "due_at", "id"),
        Index("ix_case_opened", "opened_at", "id"),
        Index("ix_case_closed", "closed_at", "id"),
        Index(
            "ix_case_follow",
            "follow_at",
            "id",
            sqlite_where=sql("follow_at IS NOT NULL"),
            postgresql_where=sql("follow_at IS NOT NULL"),
        ),
    )

    id: int | None = key_column()
    reference: str = Field(unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    """Where it began."""
    contact_id: int = ref_column("contact.id", is_indexed=True)
    message_id: int = ref_column("message.id", unique=True)
    """The message it was opened for."""
    status: str = CaseStatus.OPEN
    waits_for: str = WaitsFor.NOBODY
    severity: str = Severity.NORMAL
    reason: str = ""
    """One of the model's complaint reasons; empty where nobody knows."""
    origin: str = Origin.DETECTED
    team_id: int | None = ref_column("team.id", default=None)
    """The department that owns it."""
    agent_id: int | None = ref_column("agent.id", default=None)
    opened_at: datetime = time_column()
    acknowledged_at: datetime | None = time_column(default=None)
    """When the customer was told its reference."""
    due_at: datetime = time_column()
    """Until when it should be solved, as far as the customer was told; a justified delay moves it."""
    promised_at: datetime = time_column()
    """The first due time, which nothing moves: what it is measured by."""
    warn_at: datetime | None = time_column(default=None)
    """When its owner is reminded that the due time comes near; None once that is done."""
    notice_at: datetime | None = time_column(default=None)
    """When the customer is told of a delay, if it is still not solved; None once that is done."""
    remind_at: datetime | None = time_column(default=None)
    """When a customer who was asked and is silent is asked again."""
    silent_at: datetime | None = time_column(default=None)
    """When their silence closes it."""
    public_at: datetime | None = time_column(default=None)
    """When the public comments of a closed case get their closing answer; None once they have it, or need none."""
    follow_at: datetime | None = time_column(default=None)
    """The earliest of these five: what the `follow` step looks for."""
    paused_at: datetime | None = time_column(default=None)
    """Since when its clock stands still, while it waits for the customer."""
    delay_count: int = 0
    resolved_at: datetime | None = time_column(default=None)
    closed_at: datetime | None = time_column(default=None)
    reopened_count: int = 0
    outcome: str = Outcome.OPEN
    cause: str = Cause.UNKNOWN
    redress: str = Redress.UNKNOWN
    redress_note: str = text_column(default="")
    closure_note: str = text_column(default="")
    duplicate_of_id: int | None = ref_column("complaint_case.id", default=None, is_indexed=True)
    incident_id: int | None = ref_column("incident.id", default=None, is_indexed=True)


class CaseStep(StrEnum):
    """What can happen to a case."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    MOVED = "moved"
    EDITED = "edited"
    NOTE = "note"
    WARNED = "warned"
    DELAYED = "delayed"
    ASKED = "asked"
    REMINDED = "reminded"
    ANSWERED = "answered"
    REOPENED = "reopened"
    CLOSED = "closed"
    LINKED = "linked"
    UNLINKED = "unlinked"
    QUOTED = "quoted"
    """Somebody else wrote its reference."""
    MERGED = "merged"
    INCIDENT = "incident"
    NEWS = "news"
    PUBLIC = "public"
    """The closing answer under a public comment."""


class CaseEvent(SQLModel, table=True):
    """A step of a case: when, who did it (nobody but the engine when `agent_id` is empty), and whether the customer
    was told."""

    __tablename__ = "case_event"
    __table_args__ = (Index("ix_case_event", "case_id", "id"), Index("ix_case_event_kind", "kind", "at"))

    id: int | None = key_column()
    case_id: int = ref_column("complaint_case.id")
    at: datetime = time_column()
    kind: str
    agent_id: int | None = ref_column("agent.id", default=None)
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    message_id: int | None = ref_column("message.id", default=None, is_indexed=True)
    """The message that told the customer of it."""
    untold: str = text_column(default="")
    """Why the customer was not told, where they should have been."""


class CaseConversation(SQLModel, table=True):
    """A conversation that belongs to a case: the one it began in, and others of the same person."""

    __tablename__ = "case_conversation"
    __table_args__ = (UniqueConstraint("case_id", "conversation_id"),)

    id: int | None = key_column()
    case_id: int = ref_column("complaint_case.id")
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    linked_at: datetime = time_column()


def reference_of(number: int) -> str:
    """The reference of the case opened for message `number`, like 7K3-F9P-2: six signs and a check sign. Two numbers
    that are less than 31**6 (887 million) apart never have the same one."""
    mixed = (number * _SPREAD) % _COUNT
    signs = "".join(ALPHABET[mixed // _BASE**place % _BASE] for place in range(5, -1, -1))
    return f"{signs[:3]}-{signs[3:]}-{_check_sign(signs)}"


def is_reference(text: str) -> bool:
    """Whether `text` is a reference that was read or typed without a slip: one wrong sign, or two signs that changed
    places, are always noticed; several wrong signs 30 times of 31."""
    signs = _signs(text)
    return len(signs) == 7 and all(s in ALPHABET for s in signs) and _check_sign(signs[:6]) == signs[6]


def as_reference(text: str) -> str:
    """A reference as we write it, from how somebody typed it; empty where it is none."""
    signs = _signs(text)
    return f"{signs[:3]}-{signs[3:6]}-{signs[6]}" if is_reference(text) else ""


def _signs(text: str) -> str:
    return text.strip().upper().replace("-", "").replace(" ", "")


def _check_sign(signs: str) -> str:
    # As in an ISBN-10: each place has a weight of its own, none a multiple of the prime, and no two weights, the check
    # sign's own (-1) included, are the same modulo it.
    return ALPHABET[sum((i + 1) * ALPHABET.index(s) for i, s in enumerate(signs)) % _BASE]
