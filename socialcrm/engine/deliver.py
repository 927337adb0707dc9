"""Deliver: outbox items -> the platform. Claim, commit, send, record; nothing is ever sent twice blindly."""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col, or_, select

from connectors.base import AuthExpired, Button, Connector, MaybeSent, OutboundMessage, Refused, Sent, TryLater
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.message import Message
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
HOST = socket.gethostname()
ME = f"{HOST}:{os.getpid()}"
FIRST_WAIT = 2.0
LONGEST_WAIT = 3600.0


async def deliver(line: Line, channel_id: int) -> int:
    """Send one batch of a channel, several at once; how many were taken."""
    items = await _claim(line, channel_id)
    if items:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(_deliver_one(line, item))
    return len(items)


async def channels_due(line: Line) -> list[int]:
    """Channels with something to send now."""
    query = select(OutboxItem.channel_id).where(_is_due(line.now())).distinct()
    async with line.database.read() as session:
        return list((await session.execute(query)).scalars())


async def reconcile(line: Line) -> int:
    """Settle items that a crashed process left in `sending`: ask the platform where it can be asked, else unknown."""
    now = line.now()
    query = select(OutboxItem).where(col(OutboxItem.status) == OutboxStatus.SENDING)
    async with line.database.read() as session:
        open_items = (await session.execute(query)).scalars().all()
    left = [item for item in open_items if _is_abandoned(item, now, line.settings.line.lease_seconds)]
    for item in left:
        await _reconcile_one(line, item)
    return len(left)


def _is_due(now: datetime) -> object:
    """Waiting, due, on a channel that may send, and nothing older of the same conversation still on its way."""
    older = aliased(OutboxItem)
    is_queued = (
        select(older.id)
        .where(
            col(older.conversation_id) == col(OutboxItem.conversation_id),
            col(older.id) < col(OutboxItem.id),
            col(older.status).in_((OutboxStatus.WAITING, OutboxStatus.SENDING)),
        )
        .exists()
    )
    may_send = (
        select(Channel.id)
        .where(
            col(Channel.id) == col(OutboxItem.channel_id),
            col(Channel.status) == ChannelStatus.ACTIVE,
            or_(col(Channel.send_after_at).is_(None), col(Channel.send_after_at) <= now),
        )
        .exists()
    )
    return (col(OutboxItem.status) == OutboxStatus.WAITING) & (col(OutboxItem.due_at) <= now) & may_send & ~is_queued


async def _claim(line: Line, channel_id: int) -> Sequence[OutboxItem]:
    now = line.now()
    pick = (
        select(OutboxItem.id)
        .where(col(OutboxItem.channel_id) == channel_id, _is_due(now))
        .order_by(col(OutboxItem.id))
        .limit(line.settings.line.deliver_at_once)
        .with_for_update(skip_locked=True)
    )
    async with line.database.write() as session:
        numbers = (await session.execute(pick)).scalars().all()
        if not numbers:
            return []
        is_free = (col(OutboxItem.id).in_(numbers), col(OutboxItem.status) == OutboxStatus.WAITING)
        claim = (
            update(OutboxItem)
            .where(*is_free)
            .values(
                status=OutboxStatus.SENDING.value,
                claimed_at=now,
                claimed_by=ME,
                attempt_count=col(OutboxItem.attempt_count) + 1,
            )
            .returning(OutboxItem)
            .execution_options(synchronize_session=False)
        )
        items = (await session.execute(claim)).scalars().all()
        messages = [item.message_id for item in items]
        await session.execute(
            update(Message).where(col(Message.id).in_(messages)).values(delivery=OutboxStatus.SENDING.value)
        )
    return items


async def _deliver_one(line: Line, item: OutboxItem) -> None:
    """Send one claimed item and record what came of it."""
    try:
        connector = await line.channels.connector(item.channel_id)
        send = getattr(connector, item.action)
        async with asyncio.timeout(line.settings.line.send_timeout_seconds):
            sent: Sent = await send(outbound(item))
    except TryLater as error:
        await _wait(line, item, error)
    except AuthExpired as error:
        await _record(line, item, OutboxStatus.WAITING, reason=error.reason, signs_out=True)
    except Refused as error:
        await _record(line, item, OutboxStatus.FAILED, reason=error.reason)
    except (MaybeSent, TimeoutError) as error:
        reason = error.reason if isinstance(error, MaybeSent) else "The platform did not answer in time."
        await _record(line, item, OutboxStatus.UNKNOWN, reason=reason)
    except Exception as error:
        log.exception("outbox item %s could not be sent", item.id)
        await _record(line, item, OutboxStatus.FAILED, reason=f"Internal error ({type(error).__name__}): see the log.")
    else:
        await _record(line, item, OutboxStatus.SENT, sent=sent)


async def _wait(line: Line, item: OutboxItem, error: TryLater) -> None:
    if item.attempt_count >= line.settings.line.max_attempts:
        reason = f"Given up after {item.attempt_count} attempts: {error.reason}"
        await _record(line, item, OutboxStatus.FAILED, reason=reason)
        return
    seconds = error.retry_after if error.retry_after is not None else back_off(item.attempt_count)
    due = line.now() + timedelta(seconds=seconds)
    await _record(line, item, OutboxStatus.WAITING, reason=error.reason, due=due, is_told=error.retry_after is not None)


def back_off(attempt: int) -> float:
    """Seconds before attempt `attempt` + 1: doubling from 2, at most an hour, with full jitter on the upper half
    (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/)."""
    longest = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT)
    return random.uniform(longest / 2, longest)


async def _record(
    line: Line,
    item: OutboxItem,
    status: OutboxStatus,
    *,
    reason: str = "",
    due: datetime | None = None,
    sent: Sent | None = None,
    signs_out: bool = False,
    is_told: bool = False,
) -> None:
    """Write down what became of a claimed item, on its message and its channel as well."""
    now = line.now()
    async with line.database.write() as session:
        row = await session.get_one(OutboxItem, item.id, with_for_update=True)
        if row.status != OutboxStatus.SENDING or row.claimed_by != item.claimed_by:
            log.warning("outbox item %s was settled by somebody else as %s", item.id, row.status)
            return
        # Channel before message: the order in which ingest locks them too.
        await _tell_channel(session, item.channel_id, status, reason, now, due if is_told else None, signs_out)
        row.status, row.reason, row.due_at = status, reason, due or row.due_at
        message = await session.get_one(Message, item.message_id)
        message.delivery, message.delivery_error = status.value, reason
        if sent is not None:
            row.sent_at = sent.sent_at or now
            message.sent_at = row.sent_at
            if sent.external_id:
                message.external_id = await _free_number(session, message, sent.external_id)
        await line.live.publish(session, "message", [item.conversation_id], now)
    line.live.ring()


async def _free_number(session: AsyncSession, message: Message, external_id: str) -> str | None:
    """The platform's number of our message, unless its echo has come in with it already."""
    query = select(Message.id).where(
        col(Message.channel_id) == message.channel_id, col(Message.external_id) == external_id
    )
    return None if (await session.execute(query)).first() else external_id


async def _tell_channel(
    session: AsyncSession,
    channel_id: int,
    status: OutboxStatus,
    reason: str,
    now: datetime,
    quiet_until: datetime | None,
    signs_out: bool,
) -> None:
    where = [col(Channel.id) == channel_id]
    if status == OutboxStatus.SENT:
        values: dict[str, object] = {"succeeded_at": now, "error": ""}
        # One line per few seconds is news enough, and keeps a busy channel's row free for ingest.
        is_news = or_(
            col(Channel.error) != "",
            col(Channel.succeeded_at).is_(None),
            col(Channel.succeeded_at) < now - timedelta(seconds=5),
        )
        where.append(is_news)
    else:
        values = {"error": reason, "error_at": now}
    if quiet_until:
        values["send_after_at"] = quiet_until
    if signs_out:
        values["status"] = ChannelStatus.SIGNED_OUT.value
    await session.execute(update(Channel).where(*where).values(**values))


def outbound(item: OutboxItem) -> OutboundMessage:
    """What the connector gets of an outbox item."""
    payload = item.payload
    return OutboundMessage(
        key=item.key,
        thread_key=payload["thread_key"],
        recipient=payload["recipient"],
        text=payload["text"],
        buttons=tuple(Button(b["label"], b["value"]) for b in payload["buttons"]),
        reply_to=payload["reply_to"],
    )


def _is_abandoned(item: OutboxItem, now: datetime, lease_seconds: float) -> bool:
    host, _, pid = item.claimed_by.rpartition(":")
    if host == HOST and pid.isdigit() and int(pid) != os.getpid() and not _is_running(int(pid)):
        return True
    return item.claimed_at is None or now - item.claimed_at > timedelta(seconds=lease_seconds)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _reconcile_one(line: Line, item: OutboxItem) -> None:
    connector = await line.channels.connector(item.channel_id)
    if not connector.can("find_sent"):
        await _record(line, item, OutboxStatus.UNKNOWN, reason="We stopped while it was being sent.")
        return
    try:
        sent = await _find(line, connector, item)
    except (TryLater, AuthExpired, TimeoutError):
        log.info("outbox item %s cannot be reconciled now", item.id)
    except Refused as error:
        await _record(line, item, OutboxStatus.UNKNOWN, reason=error.reason)
    else:
        status = OutboxStatus.SENT if sent else OutboxStatus.WAITING
        await _record(line, item, status, sent=sent)


async def _find(line: Line, connector: Connector, item: OutboxItem) -> Sent | None:
    async with asyncio.timeout(line.settings.line.send_timeout_seconds):
        return await connector.find_sent(outbound(item))
