"""The ledger: every raw event, and what became of it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from socialcrm.domain.columns import key_column, ref_column, text_column, time_column


class Fate(StrEnum):
    """received = stored + duplicate + ignored + dead + waiting."""

    WAITING = "waiting"
    STORED = "stored"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEAD = "dead"


class Origin(StrEnum):
    """How an event came to us, where that makes a difference to its messages."""

    USUAL = ""
    """The platform called."""
    POLL = "poll"
    """We asked."""
    BACKFILL = "backfill"
    """Read back after the sign-in had been lost."""
    SEARCH = "search"
    """Found by a watched word; nobody wrote to us."""


class RawEventRow(SQLModel, table=True):
    """One event as the platform sent it; kept before the platform gets its 200."""

    __tablename__ = "raw_event"
    __table_args__ = (
        Index(
            "ix_raw_event_waiting",
            "channel_id",
            "id",
            sqlite_where=sql("fate = 'waiting'"),
            postgresql_where=sql("fate = 'waiting'"),
        ),
        Index("ix_raw_event_fate", "channel_id", "fate", "id"),
        Index("ix_raw_event_run", "run", "fate"),
    )

    id: int | None = key_column()
    channel_id: int = ref_column("channel.id")
    run: str | None = None
    """Which replay of an archive brought it."""
    line_number: int | None = None
    external_id: str | None = None
    payload: str = text_column()
    """JSON in ASCII: NUL and lone surrogates stay readable on every database."""
    received_at: datetime = time_column()
    fate: str = Fate.WAITING
    reason: str = text_column(default="")
    processed_at: datetime | None = time_column(default=None)
    origin: str = Origin.USUAL
