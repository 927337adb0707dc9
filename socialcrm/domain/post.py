"""A post: what public comments stand under."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from socialcrm.domain.columns import json_column, key_column, ref_column, text_column, time_column


class Post(SQLModel, table=True):
    """A post of a channel, kept once however many comments stand under it."""

    __table_args__ = (
        UniqueConstraint("channel_id", "external_id"),
        Index(
            "ix_post_unasked",
            "channel_id",
            "id",
            sqlite_where=sql("asked_at IS NULL"),
            postgresql_where=sql("asked_at IS NULL"),
        ),
    )

    id: int | None = key_column()
    channel_id: int = ref_column("channel.id")
    external_id: str
    text: str = text_column(default="")
    url: str = text_column(default="")
    author: str = text_column(default="")
    is_self: bool = False
    """Our own account wrote it."""
    picture: dict[str, Any] | None = json_column(default=None, nullable=True)
    """An attachment, as messages keep them."""
    sent_at: datetime | None = time_column(default=None)
    asked_at: datetime | None = time_column(default=None)
    """When we got to know what it says, or asked the platform in vain; empty while it waits to be asked for."""
