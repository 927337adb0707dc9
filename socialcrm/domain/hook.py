"""Webhooks out: where we call, and every call with what came of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, text_column, time_column


class Hook(SQLModel, table=True):
    """An address that is called when a rule or an escalation says so."""

    id: int | None = key_column()
    name: str = Field(unique=True)
    """As rules call it."""
    url: str = text_column()
    secret: str = text_column()
    """Encrypted JSON, see `socialcrm.secrets`: signs each call."""
    is_on: bool = True
    made_at: datetime = time_column()


class CallStatus(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class HookCall(SQLModel, table=True):
    """One call, tried until it is taken or too old."""

    __tablename__ = "hook_call"
    __table_args__ = (
        Index(
            "ix_hook_call_due",
            "due_at",
            "id",
            sqlite_where=sql("status = 'waiting'"),
            postgresql_where=sql("status = 'waiting'"),
        ),
        Index("ix_hook_call_hook", "hook_id", "id"),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    """Same key, same call; also tells the receiver that a call came twice."""
    hook_id: int = ref_column("hook.id")
    conversation_id: int | None = ref_column("conversation.id", default=None)
    payload: dict[str, Any] = json_column(default_factory=empty_dict)
    """Without personal data."""
    status: str = CallStatus.WAITING
    made_at: datetime = time_column()
    due_at: datetime = time_column()
    """Next try; while one is under way it lies ahead, so that no other process starts a second one."""
    attempt_count: int = 0
    response_status: int | None = None
    reason: str = text_column(default="")
    done_at: datetime | None = time_column(default=None)
