"""Open connectors, one per channel, opened anew when the channel's settings change; and the loss of a sign-in."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import ChannelConfig, Connector, Keeper, Quota
from connectors.registry import connector_class
from socialcrm.database import Database
from socialcrm.domain.channel import Channel, ChannelStatus, open_gap
from socialcrm.engine.renewal import ChannelKeeper
from socialcrm.secrets import Vault

log = logging.getLogger(__name__)


class ChannelGone(Exception):
    """There is no channel with this number."""


class Channels:
    """Opens connectors on first use and keeps them."""

    def __init__(self, database: Database, vault: Vault, public_url: str = "") -> None:
        self._database = database
        self._vault = vault
        self._public_url = public_url
        self._open: dict[int, tuple[datetime, Connector]] = {}
        self._renewals: set[asyncio.Task[Mapping[str, str]]] = set()

    async def connector(self, channel_id: int) -> Connector:
        """The open connector of a channel; raises ChannelGone, KeyLost or KeyError (no such connector)."""
        # The row is read each time: another process may have connected the channel anew.
        async with self._database.read() as session:
            channel = await session.get(Channel, channel_id)
        if channel is None:
            raise ChannelGone(f"There is no channel with the number {channel_id}.")
        return self.open(channel)

    def open(self, channel: Channel) -> Connector:
        """The open connector of a channel row; an open one that is older than the row's settings is left behind."""
        assert channel.id is not None
        known = self._open.get(channel.id)
        if known and known[0] >= channel.changed_at:
            return known[1]
        connector = self.another(channel)
        self._open[channel.id] = channel.changed_at, connector
        return connector

    def another(self, channel: Channel) -> Connector:
        """A connector of a channel row beside the open one, for who closes it."""
        config = ChannelConfig(
            settings={k: v for k, v in channel.settings.items() if k != "api_url"},
            credentials=self._vault.decrypt(channel.credentials),
            api_url=channel.settings.get("api_url"),
            hook_url=f"{self._public_url}/hooks/{channel.key}" if self._public_url else "",
            keeper=self.keeper(channel.id or 0),
        )
        return connector_class(channel.connector)(config)

    def quotas(self) -> dict[int, Quota]:
        """What the platforms let the open connectors ask, by channel, as far as it is known."""
        return {number: quota for number, (_, each) in self._open.items() if (quota := each.quota)}

    def keeper(self, channel_id: int) -> Keeper:
        """Where a channel's connector keeps credentials that the platform changed."""
        return ChannelKeeper(self._database, self._vault, channel_id, self._renewals)

    async def by_key(self, key: str) -> Channel | None:
        """The channel with this key in its addresses."""
        async with self._database.read() as session:
            return (await session.execute(select(Channel).where(col(Channel.key) == key))).scalar_one_or_none()

    async def forget(self, channel_id: int) -> None:
        """Close a channel's connector; it is opened anew when somebody asks."""
        _, connector = self._open.pop(channel_id, (None, None))
        if connector:
            await connector.close()

    async def close(self) -> None:
        """Close all connectors, after what a platform is giving us just now was kept."""
        await asyncio.gather(*self._renewals, return_exceptions=True)
        for channel_id in list(self._open):
            await self.forget(channel_id)


async def lose_sign_in(
    session: AsyncSession, channel_id: int, reason: str, now: datetime, changed_at: datetime | None = None
) -> None:
    """The platform refused our credentials: stop the channel, keep its queue, and remember from when on to read back.

    `changed_at` is that of the row whose credentials were refused: once it was connected anew, nothing is lost.
    """
    channel = await session.get_one(Channel, channel_id, with_for_update=True)
    if channel.status == ChannelStatus.SIGNED_OUT or (changed_at and channel.changed_at != changed_at):
        return
    log.warning("channel %s: its sign-in was lost; see the Channels page", channel_id)
    open_gap(channel, now)
    channel.status, channel.lost_at = ChannelStatus.SIGNED_OUT, now
    channel.error, channel.error_at = reason, now
    channel.backfill_since_at = channel.backfill_since_at or channel.away_from_at
