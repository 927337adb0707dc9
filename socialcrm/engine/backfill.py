"""Backfill: a channel that is connected again reads back what it missed -> raw events in the ledger, marked as such."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, or_, select, update
from sqlmodel import col

from connectors.base import AuthExpired, ConnectorError, Page, Refused, TryLater
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.ledger import Origin
from socialcrm.engine import ledger
from socialcrm.engine.channels import lose_sign_in
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
FURTHEST = timedelta(days=30)
LEASE = timedelta(minutes=10)
"""A reading of which nothing was heard for so long is begun anew; what it had is recognised as duplicate."""
AFTER_TROUBLE = timedelta(hours=1)


async def channels_due(line: Line) -> list[int]:
    """Channels that are connected again after their sign-in was lost, and have not read back what they missed."""
    query = select(col(Channel.id)).where(*_is_due(line.now())).order_by(col(Channel.id))
    async with line.database.read() as session:
        return [number for number in (await session.execute(query)).scalars() if number]


async def backfill(line: Line, channel_id: int) -> int:
    """Read one channel back, unless another process is doing it; how many events came."""
    channel = await _claim(line, channel_id)
    if channel is None:
        return 0
    since = max(channel.backfill_since_at or line.now(), line.now() - FURTHEST)
    done: dict[str, Any] = {"backfill_since_at": None, "backfill_after_at": None}
    count = 0
    try:
        connector = line.channels.open(channel)
        if connector.can("backfill"):
            count = await _read(line, channel, connector.backfill(since))
            if line.stopped.is_set():
                done = {"backfill_after_at": None}  # the next start goes on
    except AuthExpired as error:
        async with line.database.write() as session:
            await lose_sign_in(session, channel_id, error.reason, line.now(), channel.changed_at)
        done = {"backfill_after_at": None}
    except Refused as error:
        done["probe_error"] = error.reason
    except TryLater as error:
        wait = AFTER_TROUBLE if error.retry_after is None else timedelta(seconds=error.retry_after)
        done = {"backfill_after_at": line.now() + wait, "probe_error": error.reason}
    except (ConnectorError, KeyLost, KeyError) as error:
        done = {"backfill_after_at": line.now() + AFTER_TROUBLE, "probe_error": str(error.args[0])}
    except Exception as error:
        log.exception("channel %s could not be read back", channel_id)
        reason = f"Internal error ({type(error).__name__}): see the log."
        done = {"backfill_after_at": line.now() + AFTER_TROUBLE, "probe_error": reason}
    async with line.database.write() as session:
        await session.execute(update(Channel).where(col(Channel.id) == channel_id).values(**done))
    return count


async def _read(line: Line, channel: Channel, pages: AsyncIterator[Page]) -> int:
    """Page by page into the ledger, each in a transaction that also says that we are still at it."""
    count = 0
    async with aclosing(cast("Any", pages)):
        async for page in pages:
            now: datetime = line.now()
            async with line.database.write() as session:
                await ledger.append(session, channel.id or 0, page.events, now, origin=Origin.BACKFILL)
                lease = update(Channel).where(col(Channel.id) == channel.id)
                await session.execute(lease.values(backfill_after_at=now + LEASE))
            line.work.set()
            count += len(page.events)
            if line.stopped.is_set():
                break
    return count


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Channel.status) == ChannelStatus.ACTIVE,
        col(Channel.backfill_since_at).is_not(None),
        or_(col(Channel.backfill_after_at).is_(None), col(Channel.backfill_after_at) <= now),
    )


async def _claim(line: Line, channel_id: int) -> Channel | None:
    now = line.now()
    claim = (
        update(Channel)
        .where(col(Channel.id) == channel_id, *_is_due(now))
        .values(backfill_after_at=now + LEASE)
        .returning(Channel)
        .execution_options(synchronize_session=False)
    )
    async with line.database.write() as session:
        return (await session.execute(claim)).scalar_one_or_none()
