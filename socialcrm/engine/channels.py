"""Open connectors, one per channel, opened anew when the channel's settings change."""

from datetime import datetime

from sqlalchemy import select
from sqlmodel import col

from connectors.base import ChannelConfig, Connector
from connectors.registry import connector_class
from socialcrm.database import Database
from socialcrm.domain.channel import Channel
from socialcrm.secrets import Vault


class ChannelGone(Exception):
    """There is no channel with this number."""


class Channels:
    """Opens connectors on first use and keeps them."""

    def __init__(self, database: Database, vault: Vault, public_url: str = "") -> None:
        self._database = database
        self._vault = vault
        self._public_url = public_url
        self._open: dict[int, tuple[datetime, Connector]] = {}

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
        config = ChannelConfig(
            settings={k: v for k, v in channel.settings.items() if k != "api_url"},
            credentials=self._vault.decrypt(channel.credentials),
            api_url=channel.settings.get("api_url"),
            hook_url=f"{self._public_url}/hooks/{channel.key}" if self._public_url else "",
        )
        connector = connector_class(channel.connector)(config)
        self._open[channel.id] = channel.changed_at, connector
        return connector

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
        """Close all connectors."""
        for channel_id in list(self._open):
            await self.forget(channel_id)
