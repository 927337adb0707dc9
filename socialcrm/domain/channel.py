"""A channel: one connected account."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import empty_dict, empty_list, json_column, key_column, text_column, time_column

AWAY = timedelta(hours=1)
"""Whoever heard nothing for longer may have missed something; what comes later than this after it was written, too."""
EVER = datetime(2000, 1, 1, tzinfo=UTC)


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
    account_name: str = text_column(default="")
    """What the platform calls us, as the last probe was told."""
    token_ends_at: datetime | None = time_column(default=None)
    missing_scopes: list[str] = json_column(default_factory=empty_list)
    probed_at: datetime | None = time_column(default=None)
    """Last time `connect` was called, whatever came of it."""
    probe_after_at: datetime | None = time_column(default=None)
    probe_error: str = text_column(default="")
    """What the last probe, or reading back, was refused with; polling does not clear it."""
    quota: dict[str, Any] | None = json_column(default=None, nullable=True)
    """What the platform last said of how much we may still ask: see `Quota` in `connectors.base`."""
    poll_wait: float = 0.0
    """Seconds between polls just now, where they adapt; 0 at first."""
    watch_cursors: dict[str, Any] = json_column(default_factory=empty_dict)
    """word -> {"cursor", "at", "error"}: where its search goes on, when it was last made, what was refused."""
    lost_at: datetime | None = time_column(default=None)
    """When the platform last refused our credentials."""
    told_at: datetime | None = time_column(default=None)
    """When admins were mailed about a loss; earlier than `lost_at` where they still have to be."""
    away_from_at: datetime | None = time_column(default=None)
    """The last time that we could not hear the platform: from here …"""
    away_until_at: datetime | None = time_column(default=None)
    """… until here; None while it lasts."""
    backfill_since_at: datetime | None = time_column(default=None)
    """The sign-in was lost: when it is back, everything since then has to be read back."""
    backfill_after_at: datetime | None = time_column(default=None)


def gap_until(channel: Channel, now: datetime, *, is_first: bool = False) -> dict[str, datetime]:
    """The columns of the gap that ends now, when we hear from the platform again; empty where there was none.

    It does not matter why: signed out, paused, in trouble, stopped. At the first poll the gap is all that was before.
    """
    if channel.away_from_at and channel.away_until_at is None:
        return {"away_until_at": now}
    since = EVER if is_first else channel.succeeded_at
    is_gap = since is not None and now - since > AWAY
    return {"away_from_at": since, "away_until_at": now} if since and is_gap else {}


def open_gap(channel: Channel, now: datetime) -> None:
    """From now on, or rather since the last success, we may miss something; whoever hears again ends it."""
    if channel.away_from_at is None or channel.away_until_at is not None:
        channel.away_from_at, channel.away_until_at = channel.succeeded_at or now, None


def is_late(channel: Channel, sent_at: datetime, received_at: datetime) -> bool:
    """Whether a message was written while we were away, and came too late to be answered in time."""
    if channel.away_from_at is None or received_at - sent_at <= AWAY:
        return False
    return channel.away_from_at <= sent_at <= (channel.away_until_at or received_at)
