"""What is promised to customers, and what became of each promise: rows, and the reading of a policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.calendar import CalendarError
from socialcrm.domain.columns import BIG, empty_dict, json_column, key_column, ref_column, text_column, time_column
from socialcrm.domain.conversation import Conversation, Priority

KINDS = ("direct_message", "comment", "mention", "review")
WARNINGS = (50, 80, 100)
"""Percent of the promised time at which an event is written; the last is the breach."""
RISK = 80
"""Percent of the promised time from which a promise is at risk."""


class Measure(StrEnum):
    """What is promised."""

    FIRST_RESPONSE = "first_response"
    """From the customer's first message to the first answer of a person."""
    NEXT_RESPONSE = "next_response"
    """From a later message of the customer, when nothing was waiting, to the next answer."""
    RESOLUTION = "resolution"
    """From the first message, or the reopening, to the resolution."""


class SlaStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    LATE = "late"
    """It was kept in the end, after the time that was promised."""
    DROPPED = "dropped"
    """It was no longer needed, in time: resolved without an answer."""


class Pause(StrEnum):
    """Why the clock of a promise stands still."""

    CUSTOMER = "customer"
    """Set to wait for the customer."""
    THIRD_PARTY = "third_party"
    """Set to wait for somebody outside."""
    SNOOZED = "snoozed"
    ANSWERED = "answered"
    """For a resolution only: from an answer of ours until the customer writes again."""


class Tell(StrEnum):
    """Who a rung of the ladder tells."""

    AGENT = "agent"
    TEAM = "team"
    SUPERVISORS = "supervisors"
    EMAIL = "email"
    WEBHOOK = "webhook"


class CalendarRow(SQLModel, table=True):
    """A calendar as it is edited; `data` is what `socialcrm.domain.hours.read_calendar` reads."""

    __tablename__ = "calendar"

    id: int | None = key_column()
    key: str = Field(unique=True)
    name: str
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    version: int = 1
    is_default: bool = False
    """Of every team that has none of its own."""
    changed_at: datetime = time_column()
    removed_at: datetime | None = time_column(default=None)
    """Promises of the past still name it."""


class TeamCalendar(SQLModel, table=True):
    """The calendar of a team that has one of its own."""

    __tablename__ = "team_calendar"

    team_id: int = Field(primary_key=True, foreign_key="team.id", sa_type=BIG)
    calendar_id: int = ref_column("calendar.id", is_indexed=True)


class SlaPolicy(SQLModel, table=True):
    """What is promised of which conversations; the first policy in order that fits one counts."""

    __tablename__ = "sla_policy"

    id: int | None = key_column()
    name: str
    place: int
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    """What `read_policy` reads."""
    is_on: bool = True
    version: int = 1
    changed_at: datetime = time_column()
    removed_at: datetime | None = time_column(default=None)
    """Promises of the past still name it."""


class Edition(SQLModel, table=True):
    """One version of a calendar or a policy: what it said, who wrote it and when."""

    __table_args__ = (UniqueConstraint("kind", "row_id", "version"),)

    id: int | None = key_column()
    kind: str
    """calendar or policy."""
    row_id: int = Field(sa_type=BIG)
    version: int
    name: str
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    agent_id: int | None = ref_column("agent.id", default=None)
    at: datetime = time_column()


class Sla(SQLModel, table=True):
    """One promise about one conversation. Computed from its messages and events, and kept as it is once it ended."""

    __table_args__ = (
        UniqueConstraint("conversation_id", "measure", "place"),
        Index(
            "ix_sla_next",
            "next_at",
            "id",
            sqlite_where=sql("next_at IS NOT NULL"),
            postgresql_where=sql("next_at IS NOT NULL"),
        ),
        Index("ix_sla_started", "started_at", "id"),
    )

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    measure: str
    place: int
    """Of several of one measure in one conversation, the how manieth; 0 first."""
    policy_id: int = ref_column("sla_policy.id")
    calendar_id: int | None = ref_column("calendar.id", default=None)
    """By whose hours it is counted; empty: by all hours."""
    channel_id: int = ref_column("channel.id")
    team_id: int | None = ref_column("team.id", default=None)
    agent_id: int | None = ref_column("agent.id", default=None)
    """Whose conversation it was when it ended, or is."""
    status: str
    target_seconds: int
    """Working time that was promised."""
    started_at: datetime = time_column()
    due_at: datetime | None = time_column(default=None)
    """Empty while it is paused."""
    risk_at: datetime | None = time_column(default=None)
    """When it is at risk: RISK percent of the time are over."""
    ended_at: datetime | None = time_column(default=None)
    breached_at: datetime | None = time_column(default=None)
    """When the promised time was over, once it is."""
    business_seconds: int = 0
    """Working time that it took, without pauses, as of its end or of its last computing."""
    wall_seconds: int = 0
    """The same by the clock on the wall, pauses and nights included."""
    paused_seconds: int = 0
    percent: int = 0
    """Up to which percent of the time everybody was told."""
    next_at: datetime | None = time_column(default=None)
    """When somebody has to be told next …"""
    next_percent: int = 0
    """… and of how much."""
    computed_at: datetime = time_column()


class SlaStale(SQLModel, table=True):
    """A conversation whose promises have to be computed anew."""

    __tablename__ = "sla_stale"

    conversation_id: int = Field(primary_key=True, foreign_key="conversation.id", sa_type=BIG)
    is_forced: bool = False
    """Promises that ended are computed anew too."""
    is_quiet: bool = False
    """Of promises that are new to it, nobody is told what was over before."""


class SlaCursor(SQLModel, table=True):
    """How far the log of changes was followed: one row."""

    __tablename__ = "sla_cursor"

    id: int | None = key_column()
    change_id: int = Field(default=0, sa_type=BIG)
    followed_at: datetime = time_column()


class Notice(SQLModel, table=True):
    """Something that an agent should see: on their page of notices until they have."""

    __table_args__ = (
        Index(
            "ix_notice_unseen",
            "agent_id",
            "id",
            sqlite_where=sql("seen_at IS NULL"),
            postgresql_where=sql("seen_at IS NULL"),
        ),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    agent_id: int = ref_column("agent.id")
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    kind: str
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    at: datetime = time_column()
    seen_at: datetime | None = time_column(default=None)


class Escalation(SQLModel, table=True):
    """A mail or a webhook call that a rung of the ladder asks for; sent until it arrived, or was tried too often."""

    __table_args__ = (
        Index(
            "ix_escalation_due",
            "due_at",
            "id",
            sqlite_where=sql("due_at IS NOT NULL"),
            postgresql_where=sql("due_at IS NOT NULL"),
        ),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    tell: str
    recipient: str
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    at: datetime = time_column()
    due_at: datetime | None = time_column(default=None)
    """When it is tried next; empty once it was sent or given up."""
    sent_at: datetime | None = time_column(default=None)
    attempt_count: int = 0
    error: str = text_column(default="")


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: at a percentage of the promised time, who is told. `to` are addresses, where needed."""

    percent: int
    tell: Tell
    to: str = ""


@dataclass(frozen=True)
class Policy:
    """A policy as it is used."""

    id: int
    name: str
    priorities: frozenset[str]
    kinds: frozenset[str]
    teams: frozenset[int]
    """The number 0 stands for "no team"."""
    channels: frozenset[int]
    labels: frozenset[str]
    """Any of these; each of the conditions holds where it names nothing."""
    without: frozenset[str]
    """None of these labels."""
    targets: Mapping[Measure, timedelta]
    """Working time; a measure that is left out is not promised."""
    pauses: frozenset[Pause]
    ladder: tuple[Rung, ...]
    calendar_id: int | None = None
    """Whose hours count; empty: those of the conversation's team."""
    has_bot_answers: bool = False
    """Whether an answer of the bot is one."""

    def fits(self, conversation: Conversation) -> bool:
        """Whether it is about a conversation."""
        labels = set(conversation.labels)
        return (
            (not self.priorities or conversation.priority in self.priorities)
            and (not self.kinds or conversation.kind in self.kinds)
            and (not self.teams or (conversation.team_id or 0) in self.teams)
            and (not self.channels or conversation.channel_id in self.channels)
            and (not self.labels or bool(self.labels & labels))
            and not self.without & labels
        )

    @property
    def percents(self) -> tuple[int, ...]:
        """At which percentages somebody is told, in order."""
        return tuple(sorted({*WARNINGS, *(rung.percent for rung in self.ladder)}))


def policy_of(policies: Sequence[Policy], conversation: Conversation) -> Policy | None:
    """The first policy that fits."""
    return next((policy for policy in policies if policy.fits(conversation)), None)


MOST_PERCENT = 1000
MOST_RUNGS = 20
LONGEST_TARGET = timedelta(days=365)
CONDITIONS = ("priorities", "kinds", "teams", "channels", "labels", "without")
KEYS = (*CONDITIONS, "targets", "pauses", "ladder", "calendar_id", "has_bot_answers")


def read_policy(number: int, name: str, data: Mapping[str, Any]) -> Policy:
    """The policy that a table like one in config/sla.toml describes; raises CalendarError."""
    for key in data:
        if key not in KEYS:
            raise CalendarError('"%(key)s" is no part of a policy.', key=key)
    for key, known in (("priorities", list(Priority)), ("kinds", KINDS), ("pauses", list(Pause))):
        for value in data.get(key, ()):
            if value not in known:
                raise CalendarError(
                    "%(key)s: there is no %(value)s; there are %(known)s.", key=key, value=value, known=", ".join(known)
                )
    calendar = data.get("calendar_id")
    return Policy(
        id=number,
        name=name,
        priorities=frozenset(data.get("priorities", ())),
        kinds=frozenset(data.get("kinds", ())),
        teams=frozenset(int(value) for value in data.get("teams", ())),
        channels=frozenset(int(value) for value in data.get("channels", ())),
        labels=frozenset(str(value) for value in data.get("labels", ())),
        without=frozenset(str(value) for value in data.get("without", ())),
        targets=_targets(data.get("targets", {})),
        pauses=frozenset(Pause(value) for value in data.get("pauses", ())),
        ladder=_ladder(data.get("ladder", ())),
        calendar_id=int(calendar) if calendar else None,
        has_bot_answers=data.get("has_bot_answers") is True,
    )


def _targets(data: Any) -> dict[Measure, timedelta]:
    found = {}
    for key, minutes in dict(data).items():
        if key not in list(Measure):
            raise CalendarError('"%(key)s" is nothing that can be promised.', key=key)
        if not isinstance(minutes, int | float) or isinstance(minutes, bool) or not minutes > 0:
            raise CalendarError("A promise takes more than no time: it is %(minutes)s minutes.", minutes=minutes)
        if minutes > LONGEST_TARGET.total_seconds() / 60:
            raise CalendarError("A promise of more than %(days)s days is none.", days=LONGEST_TARGET.days)
        found[Measure(key)] = timedelta(minutes=minutes)
    if not found:
        raise CalendarError("The policy promises nothing: give at least one of the three times.")
    return found


def _ladder(data: Any) -> tuple[Rung, ...]:
    if len(data) > MOST_RUNGS:
        raise CalendarError("A ladder has at most %(most)s steps.", most=MOST_RUNGS)
    found = []
    for entry in data:
        percent, tell, to = entry.get("percent"), entry.get("tell"), str(entry.get("to", "")).strip()
        if not isinstance(percent, int) or not 1 <= percent <= MOST_PERCENT:
            raise CalendarError("A step of the ladder comes at 1 to %(most)s percent of the time.", most=MOST_PERCENT)
        if tell not in list(Tell):
            raise CalendarError("A step of the ladder tells one of %(known)s.", known=", ".join(Tell))
        if tell == Tell.EMAIL and not all("@" in part.strip(" @") for part in to.split(",")):
            raise CalendarError('A step by e-mail needs addresses with commas between; it has "%(to)s".', to=to)
        if tell == Tell.WEBHOOK and not to:
            raise CalendarError("A step by webhook needs the name of one of the webhooks.")
        found.append(Rung(percent, Tell(tell), to))
    return tuple(sorted(found, key=lambda rung: rung.percent))
