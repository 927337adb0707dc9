"""A conversation: one thread with one contact on one channel."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Index, and_
from sqlalchemy import text as sql
from sqlmodel import SQLModel, col

from socialcrm.domain.columns import (
    constant,
    empty_dict,
    empty_list,
    json_column,
    key_column,
    ref_column,
    text_column,
    time_column,
)


class ConversationStatus(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    """Waiting for the customer or somebody outside."""
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class Handler(StrEnum):
    """Who answers next: exactly one of them."""

    BOT = "bot"
    HUMAN = "human"
    CLOSED = "closed"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


QUEUED = "status = 'open' AND agent_id IS NULL AND queued_at IS NOT NULL"
"""Of a conversation that waits for an agent: what its index holds."""
WAITING = "status = 'open' AND waiting_since_at IS NOT NULL"
"""Of a conversation whose customer waits for an answer."""


class Conversation(SQLModel, table=True):
    """One thread. At most one unresolved conversation per channel and thread key: the database holds us to it."""

    __table_args__ = (
        Index(
            "ix_conversation_one_open_thread",
            "channel_id",
            "thread_key",
            unique=True,
            sqlite_where=sql("status <> 'resolved'"),
            postgresql_where=sql("status <> 'resolved'"),
        ),
        Index("ix_conversation_thread", "channel_id", "thread_key", "id"),
        Index("ix_conversation_queue", "status", "last_message_at", "id"),
        Index("ix_conversation_agent_queue", "agent_id", "status", "last_message_at", "id"),
        Index("ix_conversation_contact", "contact_id", "id"),
        Index("ix_conversation_queued", "score", "id", sqlite_where=sql(QUEUED), postgresql_where=sql(QUEUED)),
        Index("ix_conversation_queued_kind", "kind", "team_id", sqlite_where=sql(QUEUED), postgresql_where=sql(QUEUED)),
        Index("ix_conversation_waiting", "scored_at", "id", sqlite_where=sql(WAITING), postgresql_where=sql(WAITING)),
    )

    id: int | None = key_column()
    channel_id: int = ref_column("channel.id")
    contact_id: int = ref_column("contact.id")
    post_id: int | None = ref_column("post.id", default=None, is_indexed=True)
    """What its comments stand under."""
    thread_key: str
    kind: str
    status: str = ConversationStatus.OPEN
    handler: str = Handler.BOT
    priority: str = Priority.NORMAL
    labels: list[str] = json_column(default_factory=empty_list)
    team_id: int | None = ref_column("team.id", default=None)
    agent_id: int | None = ref_column("agent.id", default=None)
    opened_at: datetime = time_column()
    last_message_at: datetime = time_column()
    """By the platform's clock, of the newest message in either direction; the order of the queue."""
    waiting_since_at: datetime | None = time_column(default=None)
    """First message of the customer that no agent has answered."""
    resolved_at: datetime | None = time_column(default=None)
    message_count: int = 0
    unread_count: int = 0
    """Incoming messages since an agent last looked or answered."""
    preview: str = text_column(default="")
    """Start of the newest message."""
    sentiment: str = ""
    is_complaint: bool = False
    language: str = ""
    """Sentiment and language of the customer's newest analysed message; a complaint stays one."""
    queued_at: datetime | None = time_column(default=None)
    """Since when routing looks for an agent. Empty: it does not, as of one that was assigned to nobody by hand."""
    wanted_skill: str = ""
    """What who gets it should be good at, as a rule asked for; empty: nothing special."""
    wanted_agent_id: int | None = ref_column("agent.id", default=None)
    """Who should get it before all others, as a rule asked for."""
    assigned_at: datetime | None = time_column(default=None)
    """When its agent got it."""
    last_agent_id: int | None = ref_column("agent.id", default=None)
    """Who had it before it went back to the queue."""
    avoided_agent_id: int | None = ref_column("agent.id", default=None)
    """Who does not get it back next, as they did not answer or gave it away."""
    score: float = 0.0
    """How urgent it is: a sum of points, as of `scored_at`."""
    score_terms: dict[str, float] = json_column(default_factory=empty_dict)
    """What the points are for."""
    scored_at: datetime | None = time_column(default=None)
    """Empty: something happened since, count anew."""


def is_queued() -> ColumnElement[bool]:
    """QUEUED as a condition."""
    is_open = col(Conversation.status) == constant(ConversationStatus.OPEN)
    return and_(is_open, col(Conversation.agent_id).is_(None), col(Conversation.queued_at).is_not(None))


def is_waiting() -> ColumnElement[bool]:
    """WAITING as a condition."""
    is_open = col(Conversation.status) == constant(ConversationStatus.OPEN)
    return and_(is_open, col(Conversation.waiting_since_at).is_not(None))


class EventKind(StrEnum):
    """What can happen to a conversation beside messages."""

    OPENED = "opened"
    REOPENED = "reopened"
    ASSIGNED = "assigned"
    RESOLVED = "resolved"
    HANDED_OVER = "handed_over"
    PRIORITY = "priority"
    LABELLED = "labelled"
    CASE_OPENED = "case_opened"
    CASE_MOVED = "case_moved"
    """A complaint of it: {"reference", "case_id", "status", "outcome"}."""
    RULED = "ruled"
    """A rule did something when no message came: {"rule", "did"}."""
    SURVEY_SENT = "survey_sent"
    SURVEY_ANSWERED = "survey_answered"
    PAUSED = "paused"
    """It waits, and clocks of promises with it: {"for": customer, third_party or snoozed}; perhaps "until"."""
    RESUMED = "resumed"
    """It waits no longer."""
    SLA_WARNING = "sla_warning"
    """So much of a promised time is over: {"measure", "percent", "due_at", "policy", "told"}."""
    SLA_BREACHED = "sla_breached"
    """All of it is."""
    SLA_ESCALATED = "sla_escalated"
    """It is broken for longer, and somebody else was told."""
    ACTED = "acted"
    """What an agent had the platform do with a message: {"deed", "message_id"}, and "reason" where it did not."""


class ConversationEvent(SQLModel, table=True):
    """What happened to a conversation, when, and who did it: nobody but the engine when `agent_id` is empty."""

    __tablename__ = "conversation_event"
    __table_args__ = (
        Index("ix_conversation_event", "conversation_id", "id"),
        Index("ix_conversation_event_new", "id", sqlite_where=sql("is_new"), postgresql_where=sql("is_new")),
    )

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    at: datetime = time_column()
    kind: str
    agent_id: int | None = ref_column("agent.id", default=None)
    data: dict[str, Any] = json_column(default_factory=empty_dict)
    is_new: bool = True
    """No rule has looked at it yet."""


class Change(SQLModel, table=True):
    """A line of the log that live pages follow: numbered in the order of commits."""

    __tablename__ = "change"
    __table_args__ = {"sqlite_autoincrement": True}  # a number is never given twice, even when the log was emptied

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    kind: str
    """message, conversation or survey; agent_typing and contact_typing change nothing that stays."""
    at: datetime = time_column(index=True)
