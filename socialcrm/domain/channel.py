"""A channel: one connected account."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, json_column, key_column, text_column, time_column


class ChannelStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    """An admin stopped it."""
    SIGNED_OUT = "signed_out"
    """The platform no longer accepts our credentials: reconnect it."""


class Channel(SQLModel, table=True):
    """One connected account ("@brand on Telegram") and what we last saw of it."""

    id: int | None = key_column()
    connector: str
    key: str = Field(unique=True)
    """In addresses: /hooks/<key>, /widget/<key>. Random for connected channels, so that nobody guesses it."""
    name: str
    settings: dict[str, Any] = json_column(default_factory=empty_dict)
    credentials: str = text_column(default="")
    """Encrypted JSON, see `socialcrm.secrets`."""
    status: str = ChannelStatus.ACTIVE
    cursor: Any = json_column(default=None, nullable=True)
    created_at: datetime = time_column()
    changed_at: datetime = time_column()
    """Settings or credentials changed: an open connector older than this is opened anew."""
    poll_after_at: datetime | None = time_column(default=None)
    """Next poll; while one is under way it lies so far ahead that no other process starts a second one."""
    succeeded_at: datetime | None = time_column(default=None)
    """Last time the platform answered us, or called us, as it should."""
    received_at: datetime | None = time_column(default=None)
    ingested_at: datetime | None = time_column(default=None)
    """Least recently ingested goes first, so that one flood does not starve the others."""
    send_after_at: datetime | None = time_column(default=None)
    """The platform asked us to be quiet until then."""
    error: str = text_column(default="")
    error_at: datetime | None = time_column(default=None)
    rejected_count: int = 0
    """Webhook calls that were not from the platform."""
