"""Collect: channels due to poll -> raw events in the ledger, together with the new cursor."""

import asyncio
import logging
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlmodel import col

from connectors.base import AuthExpired, Connector, ConnectorError, Json, Page, Quota, TryLater
from socialcrm.domain.channel import Channel, ChannelStatus, gap_until, open_gap
from socialcrm.domain.ledger import Origin
from socialcrm.engine import ledger, polling, watch
from socialcrm.engine.channels import lose_sign_in
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
LONGEST_POLL = timedelta(minutes=2)
AFTER_TROUBLE = 30.0


async def channels_due(line: Line) -> list[int]:
    """Active channels whose next poll is due, as far as their connector is polled at all."""
    now = line.now()
    query = select(Channel).where(col(Channel.status) == ChannelStatus.ACTIVE, _is_due(now))
    async with line.database.read() as session:
        channels = (await session.execute(query)).scalars().all()
    return [channel.id for channel in channels if channel.id and _is_polled(line, channel)]


async def collect(line: Line, channel_id: int) -> int:
    """Poll one channel once, unless another process is doing it; how many events came."""
    channel = await _claim(line, channel_id)
    if channel is None:
        return 0
    try:
        connector = line.channels.open(channel)
        quota = connector.quota
        page = await _poll(line, connector, channel.cursor)
        found = await watch.look(line, connector, channel) if page else watch.Found()
    except AuthExpired as error:
        async with line.database.write() as session:
            await lose_sign_in(session, channel_id, error.reason, line.now(), channel.changed_at)
    except TryLater as error:
        await _trouble(
            line, channel_id, error.reason, AFTER_TROUBLE if error.retry_after is None else error.retry_after
        )
    except ConnectorError as error:
        await _trouble(line, channel_id, error.reason, AFTER_TROUBLE)
    except TimeoutError:
        await _trouble(line, channel_id, "The platform did not answer in time.", AFTER_TROUBLE)
    except (KeyLost, KeyError) as error:
        await _trouble(line, channel_id, str(error.args[0]), AFTER_TROUBLE)
    except Exception as error:
        log.exception("channel %s could not be polled", channel_id)
        await _trouble(line, channel_id, f"Internal error ({type(error).__name__}): see the log.", AFTER_TROUBLE)
    else:
        if page is None:
            return await _leave(line, channel_id)
        await _keep(line, channel, connector, quota, page, found)
        return len(page.events) + len(found.events)
    return 0


async def forget_polls(line: Line) -> None:
    """At the start of an embedded installation: no poll of its one process can still be under way."""
    if line.database.is_sqlite:
        async with line.database.write() as session:
            await session.execute(update(Channel).values(poll_after_at=None))


async def _poll(line: Line, connector: Connector, cursor: Json) -> Page | None:
    """The next page; None when we are stopping and the platform has nothing to say yet."""
    poll = asyncio.ensure_future(connector.poll(cursor))
    stop = asyncio.ensure_future(line.stopped.wait())
    seconds = LONGEST_POLL.total_seconds() - 20
    await asyncio.wait({poll, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if poll.done():
        return poll.result()
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    if line.stopped.is_set():
        return None
    raise TimeoutError


async def _leave(line: Line, channel_id: int) -> int:
    """Give the poll back, so that the next process need not wait for it."""
    async with line.database.write() as session:
        await session.execute(update(Channel).where(col(Channel.id) == channel_id).values(poll_after_at=line.now()))
    return 0


def _is_polled(line: Line, channel: Channel) -> bool:
    try:
        return line.channels.open(channel).is_polled
    except (KeyLost, KeyError):
        return True  # polling it will say what is wrong


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(col(Channel.poll_after_at).is_(None), col(Channel.poll_after_at) <= now)


async def _claim(line: Line, channel_id: int) -> Channel | None:
    now = line.now()
    claim = (
        update(Channel)
        .where(col(Channel.id) == channel_id, col(Channel.status) == ChannelStatus.ACTIVE, _is_due(now))
        .values(poll_after_at=now + LONGEST_POLL)
        .returning(Channel)
        .execution_options(synchronize_session=False)
    )
    async with line.database.write() as session:
        return (await session.execute(claim)).scalar_one_or_none()


async def _keep(
    line: Line, channel: Channel, connector: Connector, before: Quota | None, page: Page, found: watch.Found
) -> None:
    """The events, the cursors and the time of the next poll, all in one transaction."""
    now, number = line.now(), channel.id or 0
    came, slowest = bool(page.events), connector.slowest_poll_seconds
    pace = polling.pace(channel.poll_wait, came, connector.poll_seconds, slowest)
    lasting = polling.lasting(connector.quota, polling.cost(before, connector.quota), now)
    values = {
        "cursor": page.cursor,
        "succeeded_at": now,
        "error": "",
        "poll_wait": pace,
        "poll_after_at": now + timedelta(seconds=max(0.0 if page.more else pace, lasting)),
        **gap_until(channel, now, is_first=channel.cursor is None),
        **({"watch_cursors": found.cursors} if found.cursors else {}),
    }
    async with line.database.write() as session:
        await ledger.append(session, number, page.events, now, origin=Origin.POLL)
        await ledger.append(session, number, found.events, now, origin=Origin.SEARCH)
        await session.execute(update(Channel).where(col(Channel.id) == number).values(**values))
    if page.events or found.events:
        line.work.set()


async def _trouble(line: Line, channel_id: int, reason: str, wait: float) -> None:
    """Write trouble down on the channel; logged when it begins, not each time."""
    now = line.now()
    async with line.database.write() as session:
        channel = await session.get_one(Channel, channel_id)
        if not channel.error:
            log.warning("channel %s: polling has trouble; see the Channels page", channel_id)
        open_gap(channel, now)
        channel.error, channel.error_at = reason, now
        channel.poll_after_at = now + timedelta(seconds=wait)
