"""Renewal: credentials that a platform changes while we use them, one renewal at a time over all processes.

Some platforms take a refresh token once and sign an account out whose token comes a second time. So who renews puts a
claim into the channel's credentials first, asks the platform without holding a lock, and keeps what it got; whoever
comes meanwhile waits for that and asks nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from connectors.base import AuthExpired, Renew
from socialcrm.database import Database
from socialcrm.domain.channel import Channel
from socialcrm.secrets import KeyLost, Vault

CLAIM = "renewing_until"
LEASE = 60.0
"""Seconds after which the claim of a process that ended half-way counts no more."""
LOOK_EVERY = 0.2


class ChannelKeeper:
    """Keeps the credentials of one channel; see `connectors.base.Keeper`."""

    def __init__(
        self, database: Database, vault: Vault, channel_id: int, under_way: set[asyncio.Task[Mapping[str, str]]]
    ) -> None:
        self._database = database
        self._vault = vault
        self._channel_id = channel_id
        self._under_way = under_way

    async def renewed(self, spent: Mapping[str, str], renew: Renew) -> Mapping[str, str]:
        """The credentials to go on with in place of `spent`."""
        # A task of its own: what the platform gave is kept although whoever waits for it is cancelled.
        task = asyncio.ensure_future(self._renewed(_plain(spent), renew))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _renewed(self, spent: Mapping[str, str], renew: Renew) -> Mapping[str, str]:
        while True:
            claim = f"{time.time() + LEASE}"
            async with self._locked() as (channel, kept):
                if _plain(kept) != spent:
                    return _plain(kept)
                if float(kept.get(CLAIM, 0)) < time.time():
                    channel.credentials = self._vault.encrypt({**kept, CLAIM: claim})
                    break
            await asyncio.sleep(LOOK_EVERY)
        fresh: Mapping[str, str] = {}
        try:
            fresh = await renew(spent)
        finally:
            async with self._locked() as (channel, kept):
                if kept.get(CLAIM) == claim:
                    kept = {**_plain(kept), **fresh}
                    channel.credentials = self._vault.encrypt(kept)
        return _plain(kept)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[tuple[Channel, Mapping[str, str]]]:
        """The channel's row, that nobody else writes meanwhile, and its credentials."""
        async with self._database.write() as session:
            channel = await session.get(Channel, self._channel_id, with_for_update=True)
            try:
                kept = self._vault.decrypt(channel.credentials) if channel else {}
            except KeyLost as error:
                raise AuthExpired(str(error)) from error
            if channel is None or not kept:
                raise AuthExpired("The channel was disconnected.")
            yield channel, kept


def _plain(credentials: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in credentials.items() if key != CLAIM}
