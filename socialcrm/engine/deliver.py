"""Deliver: outbox items -> the platform. Claim, commit, send, record; nothing is ever sent twice blindly."""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from connectors.base import AuthExpired, Connector, MaybeSent, MessageKind, OutboundMessage, Refused, Sent, TryLater
from socialcrm.database import update_rows
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.columns import constant
from socialcrm.domain.contact import Identity
from socialcrm.domain.message import Direction, Message
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.engine.answer import CannotAnswer, check_files
from socialcrm.engine.channels import ChannelGone, lose_sign_in
from socialcrm.engine.line import Line
from socialcrm.engine.pieces import pieces_of, pieces_out, remember_surely, seconds_for
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
HOST = socket.gethostname()
ME = f"{HOST}:{os.getpid()}"
FIRST_WAIT = 2.0
LONGEST_WAIT = 3600.0
CLOSED_WAIT = 30.0
STOPPED = "This person wrote STOP: they are not written to on this channel until they write START."


@dataclass(frozen=True)
class Outcome:
    """What came of one claimed item."""

    item: OutboxItem
    status: OutboxStatus
    reason: str = ""
    due_at: datetime | None = None
    sent: Sent | None = None
    quiet_until: datetime | None = None
    """The platform asked the whole channel to wait."""
    signs_out: bool = False


async def deliver(line: Line, channel_id: int) -> int:
    """Send one batch of a channel, several at once; how many were taken. What is done is written down at once, all
    that finished together in one transaction; nothing waits for the slowest."""
    try:
        connector = await line.channels.connector(channel_id)
    except (KeyLost, KeyError, ChannelGone) as error:
        await _cannot_open(line, channel_id, str(error.args[0]))
        return 0
    items = await _claim(line, channel_id)
    heard = await _heard(line, items) if connector.limits.window_hours else {}
    stopped = await _stopped(line, channel_id, items)
    refused = [Outcome(item, OutboxStatus.FAILED, STOPPED) for item in items if item.payload["recipient"] in stopped]
    if refused:
        await _record_surely(line, channel_id, refused)
    sending = {
        asyncio.ensure_future(_send(line, connector, item, heard.get(item.conversation_id)))
        for item in items
        if item.payload["recipient"] not in stopped
    }
    while sending:
        done, sending = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        await _record_surely(line, channel_id, [task.result() for task in done])
    return len(items)


async def channels_due(line: Line) -> list[int]:
    """Channels with something to send now."""
    query = select(col(OutboxItem.channel_id)).where(_is_due(line.now())).distinct()
    async with line.database.read() as session:
        return list((await session.execute(query)).scalars())


async def reconcile(line: Line) -> int:
    """Settle items that a crashed process left in `sending`: ask the platform where it can be asked, else unknown."""
    now = line.now()
    query = select(OutboxItem).where(col(OutboxItem.status) == constant(OutboxStatus.SENDING))
    async with line.database.read() as session:
        open_items = (await session.execute(query)).scalars().all()
    left = [item for item in open_items if _is_abandoned(item, now, line.settings.line.lease_seconds)]
    for item in left:
        await _reconcile_one(line, item)
    return len(left)


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Waiting, due, on a channel that may send, and nothing older of the same conversation still on its way."""
    older = aliased(OutboxItem)
    is_queued = (
        select(col(older.id))
        .where(
            col(older.conversation_id) == col(OutboxItem.conversation_id),
            col(older.id) < col(OutboxItem.id),
            col(older.status).in_((OutboxStatus.WAITING, OutboxStatus.SENDING)),
        )
        .exists()
    )
    may_send = (
        select(col(Channel.id))
        .where(
            col(Channel.id) == col(OutboxItem.channel_id),
            col(Channel.status) == ChannelStatus.ACTIVE,
            or_(col(Channel.send_after_at).is_(None), col(Channel.send_after_at) <= now),
        )
        .exists()
    )
    return (
        (col(OutboxItem.status) == constant(OutboxStatus.WAITING))
        & (col(OutboxItem.due_at) <= now)
        & may_send
        & ~is_queued
    )


async def _claim(line: Line, channel_id: int) -> Sequence[OutboxItem]:
    now = line.now()
    pick = (
        select(col(OutboxItem.id))
        .where(col(OutboxItem.channel_id) == channel_id, _is_due(now))
        .order_by(col(OutboxItem.id))
        .limit(line.settings.line.deliver_at_once)
        .with_for_update(skip_locked=True)
    )
    async with line.database.write() as session:
        numbers = (await session.execute(pick)).scalars().all()
        if not numbers:
            return []
        is_free = (col(OutboxItem.id).in_(numbers), col(OutboxItem.status) == constant(OutboxStatus.WAITING))
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


async def _heard(line: Line, items: Sequence[OutboxItem]) -> dict[int, datetime]:
    """When the customer of each conversation last wrote."""
    query = (
        select(col(Message.conversation_id), func.max(col(Message.sent_at)))
        .where(
            col(Message.conversation_id).in_({item.conversation_id for item in items}),
            col(Message.direction) == constant(Direction.IN),
        )
        .group_by(col(Message.conversation_id))
    )
    async with line.database.read() as session:
        return {number: at for number, at in (await session.execute(query)).all()}


async def _stopped(line: Line, channel_id: int, items: Sequence[OutboxItem]) -> set[str]:
    """The recipients who asked us never to write to them on this channel again."""
    if not items:
        return set()
    query = select(col(Identity.external_id)).where(
        col(Identity.channel_id) == channel_id,
        col(Identity.external_id).in_({item.payload["recipient"] for item in items}),
        col(Identity.stopped_at).is_not(None),
    )
    async with line.database.read() as session:
        return set((await session.execute(query)).scalars())


async def _cannot_open(line: Line, channel_id: int, reason: str) -> None:
    """Say so on the channel and keep its queue until it is connected again."""
    now = line.now()
    values = {"error": reason, "error_at": now, "send_after_at": now + timedelta(seconds=CLOSED_WAIT)}
    async with line.database.write() as session:
        await session.execute(update(Channel).where(col(Channel.id) == channel_id).values(**values))


async def _send(line: Line, connector: Connector, item: OutboxItem, heard_at: datetime | None = None) -> Outcome:
    """Send one claimed item, piece by piece where the platform cannot take it whole."""
    sent = Sent()
    try:
        send = getattr(connector, item.action)
        pieces = pieces_of(line, connector, item, heard_at)
        _check_files(connector, item, pieces)
        for number in range(pieces_out(item), len(pieces)):
            if number > pieces_out(item):
                await remember_surely(line, item, number)
            async with asyncio.timeout(seconds_for(line, pieces[number])):
                sent = await send(pieces[number])
    except FileNotFoundError:
        return Outcome(item, OutboxStatus.FAILED, "The file is no longer in the storage folder: attach it again.")
    except TryLater as error:
        return _wait(line, item, error)
    except AuthExpired as error:
        return Outcome(item, OutboxStatus.WAITING, error.reason, signs_out=True)
    except Refused as error:
        return Outcome(item, OutboxStatus.FAILED, error.reason)
    except CannotAnswer as error:
        return Outcome(item, OutboxStatus.FAILED, str(error))
    except MaybeSent as error:
        return Outcome(item, OutboxStatus.UNKNOWN, error.reason)
    except TimeoutError:
        return Outcome(item, OutboxStatus.UNKNOWN, "The platform did not answer in time.")
    except Exception as error:
        log.exception("outbox item %s could not be sent", item.id)
        return Outcome(item, OutboxStatus.FAILED, f"Internal error ({type(error).__name__}): see the log.")
    return Outcome(item, OutboxStatus.SENT, sent=sent)


def _check_files(connector: Connector, item: OutboxItem, pieces: Sequence[OutboundMessage]) -> None:
    """Looked at again, whoever wrote the item: what the channel takes may have changed since. Raises CannotAnswer."""
    files = [file for piece in pieces for file in piece.attachments]
    if files and item.action == "private_reply":
        raise CannotAnswer("A private answer to a comment carries no files.")
    check_files(connector.limits, "" if item.action == "reply" else MessageKind.DIRECT_MESSAGE, files)


def _wait(line: Line, item: OutboxItem, error: TryLater) -> Outcome:
    if item.attempt_count >= line.settings.line.max_attempts:
        return Outcome(item, OutboxStatus.FAILED, f"Given up after {item.attempt_count} attempts: {error.reason}")
    seconds = error.retry_after if error.retry_after is not None else back_off(item.attempt_count)
    due = line.now() + timedelta(seconds=seconds)
    return Outcome(
        item, OutboxStatus.WAITING, error.reason, due, quiet_until=due if error.retry_after is not None else None
    )


def back_off(attempt: int) -> float:
    """Seconds before attempt `attempt` + 1: doubling from 2, at most an hour, with full jitter on the upper half
    (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/)."""
    longest = min(FIRST_WAIT * 2 ** min(attempt - 1, 30), LONGEST_WAIT)
    return random.uniform(longest / 2, longest)


async def _record_surely(line: Line, channel_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes down, again and again while the database is away: what was sent must not be forgotten. When the
    lease of the items is over somebody else settles them."""
    for attempt in range(1, 1000):
        try:
            await _record(line, channel_id, outcomes)
        except SQLAlchemyError:
            waited = line.now() - min(o.item.claimed_at or line.now() for o in outcomes)
            if waited > timedelta(seconds=line.settings.line.lease_seconds):
                raise
            log.warning("outcomes of channel %s could not be written down; trying again", channel_id)
            await asyncio.sleep(min(0.1 * 2**attempt, 5.0))
        else:
            return


async def _record(line: Line, channel_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write down what became of claimed items, on their messages and their channel as well."""
    now = line.now()
    async with line.database.write() as session:
        # Channel before messages: the order in which ingest locks them too.
        # That a person wants no messages is no trouble of the channel.
        news = {(o.status, o.reason): o for o in outcomes if o.reason != STOPPED}
        for outcome in news.values():
            await _tell_channel(session, channel_id, outcome, now)
        held = await _held(session, outcomes)
        taken = await _taken(session, channel_id, outcomes)
        for outcome in outcomes:
            if outcome.item.id not in held:
                log.warning("outbox item %s was settled by somebody else", outcome.item.id)
        settled = [outcome for outcome in outcomes if outcome.item.id in held]
        await update_rows(session, OutboxItem, [_item_now(outcome, now) for outcome in settled])
        await update_rows(session, Message, [_message_now(outcome, now, taken) for outcome in settled])
        await line.live.publish(session, "message", (o.item.conversation_id for o in settled), now)
    line.live.ring()


async def _held(session: AsyncSession, outcomes: Sequence[Outcome]) -> set[int | None]:
    """The items that are still as they were claimed, locked."""
    query = (
        select(col(OutboxItem.id), col(OutboxItem.status), col(OutboxItem.claimed_by))
        .where(col(OutboxItem.id).in_([outcome.item.id for outcome in outcomes]))
        .order_by(col(OutboxItem.id))
        .with_for_update(key_share=True)
    )
    claimed_by = {outcome.item.id: outcome.item.claimed_by for outcome in outcomes}
    rows = (await session.execute(query)).all()
    return {n for n, status, who in rows if status == OutboxStatus.SENDING and who == claimed_by[n]}


def _item_now(outcome: Outcome, now: datetime) -> dict[str, object]:
    return {
        "id": outcome.item.id,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "due_at": outcome.due_at or outcome.item.due_at,
        "sent_at": (outcome.sent.sent_at or now) if outcome.sent else None,
    }


def _message_now(outcome: Outcome, now: datetime, taken: set[str]) -> dict[str, object]:
    values: dict[str, object] = {
        "id": outcome.item.message_id,
        "delivery": outcome.status.value,
        "delivery_error": outcome.reason,
    }
    if outcome.sent is not None:
        values["sent_at"] = outcome.sent.sent_at or now
        if outcome.sent.external_id not in taken:
            values["external_id"] = outcome.sent.external_id
    return values


async def _taken(session: AsyncSession, channel_id: int, outcomes: Sequence[Outcome]) -> set[str]:
    """The platform's numbers of our messages under which their echo has come in already."""
    numbers = [o.sent.external_id for o in outcomes if o.sent and o.sent.external_id]
    query = select(col(Message.external_id)).where(
        col(Message.channel_id) == channel_id, col(Message.external_id).in_(numbers)
    )
    return {number for number in (await session.execute(query)).scalars() if number}


async def _tell_channel(session: AsyncSession, channel_id: int, outcome: Outcome, now: datetime) -> None:
    if outcome.signs_out:
        await lose_sign_in(session, channel_id, outcome.reason, now)
        return
    where = [col(Channel.id) == channel_id]
    if outcome.status == OutboxStatus.SENT:
        values: dict[str, object] = {"succeeded_at": now, "error": ""}
        # One line per few seconds is news enough, and keeps a busy channel's row free for ingest.
        is_news = or_(
            col(Channel.error) != "",
            col(Channel.succeeded_at).is_(None),
            col(Channel.succeeded_at) < now - timedelta(seconds=5),
        )
        where.append(is_news)
    else:
        values = {"error": outcome.reason, "error_at": now}
    if outcome.quiet_until:
        values["send_after_at"] = outcome.quiet_until
    await session.execute(update(Channel).where(*where).values(**values))


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
    try:
        connector = await line.channels.connector(item.channel_id)
        # `find_sent` looks among what is public where the conversation is: a private answer is not there.
        if item.action == "private_reply" or not connector.can("find_sent"):
            raise Refused("We stopped while it was being sent.")
        sent = await _find(line, connector, item)
    except (TryLater, AuthExpired, TimeoutError):
        log.info("outbox item %s cannot be reconciled now", item.id)
    except Refused as error:
        await _record(line, item.channel_id, [Outcome(item, OutboxStatus.UNKNOWN, error.reason)])
    except Exception as error:  # a lost key, a mistake of ours: it must not keep the others, or the start, back
        log.exception("outbox item %s cannot be reconciled", item.id)
        reason = f"Internal error ({type(error).__name__}): see the log."
        await _record(line, item.channel_id, [Outcome(item, OutboxStatus.UNKNOWN, reason)])
    else:
        is_whole = sent is not None and pieces_out(item) + 1 >= len(pieces_of(line, connector, item))
        if sent is not None and not is_whole:
            await remember_surely(line, item, pieces_out(item) + 1)
        status = OutboxStatus.SENT if is_whole else OutboxStatus.WAITING
        await _record(line, item.channel_id, [Outcome(item, status, sent=sent if is_whole else None)])


async def _find(line: Line, connector: Connector, item: OutboxItem) -> Sent | None:
    async with asyncio.timeout(line.settings.line.send_timeout_seconds):
        return await connector.find_sent(pieces_of(line, connector, item)[pieces_out(item)])
