"""Rules that people edit, as rows: the rule, its versions, how often it fired, what it did and left for later."""

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


class RuleBook(SQLModel, table=True):
    """One row: whether the rules of the file were taken over, and a number that grows with every change of them."""

    __tablename__ = "rule_book"

    id: int | None = key_column()
    stamp: int = 0
    imported_at: datetime | None = time_column(default=None)


class Rule(SQLModel, table=True):
    """One rule as it is now."""

    __table_args__ = (Index("ix_rule_position", "position", "id"),)

    id: int | None = key_column()
    name: str
    event: str
    position: int = 0
    is_on: bool = True
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    """As `socialcrm.domain.rulebook.write` gives it."""
    version: int = 1
    changed_at: datetime = time_column()
    changed_by_id: int | None = ref_column("agent.id", default=None)
    since_at: datetime = time_column()
    """Switched on or changed last: what happened or fell silent before is left alone."""
    deleted_at: datetime | None = time_column(default=None)


class Why(StrEnum):
    """How a version came to be."""

    MADE = "made"
    CHANGED = "changed"
    RESTORED = "restored"
    IMPORTED = "imported"
    SWITCHED_ON = "switched_on"
    SWITCHED_OFF = "switched_off"
    DELETED = "deleted"


class RuleVersion(SQLModel, table=True):
    """What a rule was, from when on, and who made it so."""

    __tablename__ = "rule_version"
    __table_args__ = (UniqueConstraint("rule_id", "version"),)

    id: int | None = key_column()
    rule_id: int = ref_column("rule.id")
    version: int
    why: str = Why.CHANGED
    body: dict[str, Any] = json_column(default_factory=empty_dict)
    is_on: bool = True
    made_at: datetime = time_column()
    made_by_id: int | None = ref_column("agent.id", default=None)
    """Empty: the file of a fresh installation, or the command line."""


class RuleTally(SQLModel, table=True):
    """How often a rule fired in one batch: one row for each, so that no two processes wait for each other."""

    __tablename__ = "rule_tally"
    __table_args__ = (Index("ix_rule_tally", "at", "rule_id"),)

    id: int | None = key_column()
    rule_id: int = ref_column("rule.id")
    at: datetime = time_column()
    count: int = 0


class RuleFiring(SQLModel, table=True):
    """A rule fired, where that is to be known later: once for a silence, so many times for a person."""

    __tablename__ = "rule_firing"
    __table_args__ = (
        Index("ix_rule_firing_conversation", "conversation_id", "rule_id", "at"),
        Index("ix_rule_firing_contact", "contact_id", "rule_id", "at"),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    """rule and message, event or silence: no rule fires twice for one of them."""
    rule_id: int = ref_column("rule.id")
    conversation_id: int = ref_column("conversation.id")
    contact_id: int = ref_column("contact.id")
    at: datetime = time_column()


class RuleSilence(SQLModel, table=True):
    """A rule on silence looked at a conversation: it fires once for each silence, and looks again now and then while
    its conditions do not hold."""

    __tablename__ = "rule_silence"

    rule_id: int = Field(primary_key=True, foreign_key="rule.id", sa_type=BIG)
    conversation_id: int = Field(primary_key=True, foreign_key="conversation.id", sa_type=BIG)
    since_at: datetime = time_column()
    """When the silence began."""
    again_at: datetime | None = time_column(default=None)
    """Empty: it fired."""


class RuleRun(SQLModel, table=True):
    """Why rules did what they did when something other than a message happened, in words."""

    __tablename__ = "rule_run"
    __table_args__ = (Index("ix_rule_run", "conversation_id", "id"),)

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    event: str
    event_id: int | None = ref_column("conversation_event.id", default=None)
    at: datetime = time_column()
    lines: list[dict[str, Any]] = json_column(default_factory=empty_list)
    """As those of RuleTrace."""


class TaskKind(StrEnum):
    """What a rule leaves for later."""

    GO_ON = "go_on"
    """With the actions behind a wait."""
    WAKE = "wake"
    """A conversation that sleeps."""
    HIDE = "hide"
    MAIL = "mail"


class TaskStatus(StrEnum):
    WAITING = "waiting"
    DOING = "doing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RuleTask(SQLModel, table=True):
    """Something with a due time that a rule wants done."""

    __tablename__ = "rule_task"
    __table_args__ = (
        Index(
            "ix_rule_task_due",
            "due_at",
            "id",
            sqlite_where=sql("status IN ('waiting', 'doing')"),
            postgresql_where=sql("status IN ('waiting', 'doing')"),
        ),
        Index("ix_rule_task_conversation", "conversation_id", "id"),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    kind: str
    rule_id: int | None = ref_column("rule.id", default=None)
    rule: str = ""
    """Its name when it fired."""
    conversation_id: int = ref_column("conversation.id")
    message_id: int | None = ref_column("message.id", default=None)
    payload: dict[str, Any] = json_column(default_factory=empty_dict)
    is_for_silence: bool = False
    """Cancelled when the customer writes."""
    depth: int = 0
    """How many rules stand between it and what somebody did."""
    status: str = TaskStatus.WAITING
    made_at: datetime = time_column()
    due_at: datetime = time_column()
    attempt_count: int = 0
    done_at: datetime | None = time_column(default=None)
    reason: str = text_column(default="")


class RuleSuggestion(SQLModel, table=True):
    """An answer that a rule offers to whoever answers a message."""

    __tablename__ = "rule_suggestion"
    __table_args__ = (Index("ix_rule_suggestion", "conversation_id", "id"),)

    id: int | None = key_column()
    conversation_id: int = ref_column("conversation.id")
    message_id: int | None = ref_column("message.id", default=None)
    rule_id: int = ref_column("rule.id")
    text: str = text_column()
    made_at: datetime = time_column()
