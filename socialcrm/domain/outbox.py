"""The outbox: one action waiting for a channel; the only way out."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, text_column, time_column


class OutboxStatus(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"
    """Claimed; left so by a crash it is reconciled, never resent blindly."""
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nobody knows whether the platform has it: an agent decides."""


class OutboxItem(SQLModel, table=True):
    """One text on its way to the platform."""

    __tablename__ = "outbox_item"
    __table_args__ = (
        Index(
            "ix_outbox_open",
            "status",
            "due_at",
            "id",
            sqlite_where=sql("status IN ('waiting', 'sending')"),
            postgresql_where=sql("status IN ('waiting', 'sending')"),
        ),
        Index("ix_outbox_conversation", "conversation_id", "id"),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    """Same key, same message: asking twice makes one item."""
    channel_id: int = ref_column("channel.id")
    conversation_id: int = ref_column("conversation.id")
    message_id: int = ref_column("message.id", unique=True)
    action: str
    """A connector's ability: reply or direct_message."""
    payload: dict[str, Any] = json_column(default_factory=empty_dict)
    status: str = OutboxStatus.WAITING
    created_at: datetime = time_column()
    due_at: datetime = time_column()
    attempt_count: int = 0
    claimed_at: datetime | None = time_column(default=None)
    claimed_by: str = ""
    sent_at: datetime | None = time_column(default=None)
    reason: str = text_column(default="")
    """Why it waits, failed or is unknown; the platform's own words where it gave any."""
