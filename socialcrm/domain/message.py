"""A message: one incoming or outgoing text or a private note, and its analysis."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import (
    BIG,
    empty_dict,
    empty_list,
    json_column,
    key_column,
    ref_column,
    text_column,
    time_column,
)


class Direction(StrEnum):
    IN = "in"
    OUT = "out"
    NOTE = "note"
    """For colleagues only; never leaves."""


class AuthorKind(StrEnum):
    CONTACT = "contact"
    AGENT = "agent"
    RULE = "rule"
    BOT = "bot"
    SURVEY = "survey"
    SELF = "self"
    """Our own account, written outside this product."""


class Step(StrEnum):
    """Which step of the line a message waits for."""

    ANALYZE = "analyze"
    TRIAGE = "triage"
    DONE = "done"


class Delivery(StrEnum):
    """What became of an outgoing message; the same words as its outbox item."""

    NONE = "none"
    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Message(SQLModel, table=True):
    """One text with its attachments."""

    __table_args__ = (
        UniqueConstraint("channel_id", "external_id"),
        Index(
            "ix_message_waiting",
            "step",
            "id",
            sqlite_where=sql("step <> 'done'"),
            postgresql_where=sql("step <> 'done'"),
        ),
        Index("ix_message_thread", "conversation_id", "id"),
        Index("ix_message_sent", "direction", "sent_at", "id"),
    )

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    channel_id: int = ref_column("channel.id")
    contact_id: int = ref_column("contact.id")
    external_id: str | None = None
    raw_event_id: int | None = ref_column("raw_event.id", default=None, is_indexed=True)
    direction: str
    kind: str
    author_kind: str
    agent_id: int | None = ref_column("agent.id", default=None)
    text: str = text_column()
    attachments: list[dict[str, Any]] = json_column(default_factory=empty_list)
    buttons: list[dict[str, str]] = json_column(default_factory=empty_list)
    reply_to: str | None = None
    """External id of the message that it replies to on the platform."""
    answers_id: int | None = ref_column("message.id", default=None, is_indexed=True)
    """The incoming message that this one answers."""
    sent_at: datetime = time_column()
    """By the platform's clock."""
    received_at: datetime = time_column()
    """When the ledger had it."""
    processed_at: datetime | None = time_column(default=None)
    """When triage was done with it."""
    is_late: bool = False
    """We were away when it was written, and got it later: no figure of how fast we answer counts it."""
    is_found: bool = False
    """Found by a watched word, not written to us: nothing answers it by itself."""
    edited_at: datetime | None = time_column(default=None)
    """When the text that is shown was written, by the platform's clock; empty while it is the first one."""
    versions: list[dict[str, str]] = json_column(default_factory=empty_list)
    """Earlier texts, oldest first: {"text", "at"}."""
    deleted_at: datetime | None = time_column(default=None)
    hidden_at: datetime | None = time_column(default=None)
    liked_at: datetime | None = time_column(default=None)
    boosted_at: datetime | None = time_column(default=None)
    """What agents did with it on the platform, and did not take back."""
    acting_until_at: datetime | None = time_column(default=None)
    """While the platform is told to hide, like, boost or delete it, nobody else tells it so too."""
    question_id: int | None = Field(default=None, sa_type=BIG)
    """The question of ours that it answers: triage leaves it to who asked. No reference, for a question refers to its
    messages already."""
    is_choice: bool = False
    """It only chose among the answers to that question: there is nothing to understand in it, and reports of messages
    do not count it."""
    step: str = Step.DONE
    delivery: str = Delivery.NONE
    delivery_error: str = text_column(default="")


class Analysis(SQLModel, table=True):
    """What the pipeline understood of one incoming message: one row per message."""

    __table_args__ = (Index("ix_analysis_sentiment", "sentiment", "message_id"),)

    message_id: int = Field(primary_key=True, foreign_key="message.id", sa_type=BIG)
    language: str
    language_score: float
    sentiment: str
    sentiment_score: float
    is_complaint: bool
    complaint_score: float
    intent: str
    intent_score: float
    reason: str | None = None
    """Why the author complains; means something of a complaint only."""
    reason_score: float | None = None
    scores: dict[str, dict[str, float]] = json_column(default_factory=empty_dict)
    """field -> label -> probability."""
    unsure: list[str] = json_column(default_factory=empty_list)
    """Fields whose score was below the threshold when it was analysed."""
    model: str
    analyzed_at: datetime = time_column()


class RuleTrace(SQLModel, table=True):
    """Why triage did what it did with one message, in words."""

    __tablename__ = "rule_trace"

    id: int | None = key_column()
    message_id: int = ref_column("message.id", unique=True)
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    at: datetime = time_column()
    lines: list[dict[str, Any]] = json_column(default_factory=empty_list)
    """One per rule tried: {"rule", "fired", "because", "did"}."""
