"""A contact: a person who wrote, with one identity per channel."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel

from socialcrm.domain.columns import key_column, ref_column, time_column


class Contact(SQLModel, table=True):
    """A person who wrote to us."""

    id: int | None = key_column()
    name: str
    language: str = ""
    """Of their last message whose language was sure; empty until then."""
    created_at: datetime = time_column()
    auto_answered_at: datetime | None = time_column(default=None)
    """Last automatic answer to this person: the next one waits for the window."""
    is_bot: bool = False
    tier: str = ""
    """How loyal a customer they are, in the words of the page on routing; empty: not known."""


class Identity(SQLModel, table=True):
    """How a channel knows a contact."""

    __table_args__ = (UniqueConstraint("channel_id", "external_id"),)

    id: int | None = key_column()
    contact_id: int = ref_column("contact.id", is_indexed=True)
    channel_id: int = ref_column("channel.id")
    external_id: str
    name: str = ""
    handle: str = ""
    stopped_at: datetime | None = time_column(default=None)
    """When they asked us never to write to them here again; None once they took that back."""
