"""Ingest: raw events -> contacts, conversations, messages. One channel's batch, one transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import BadPayload, Change, Connector, Ignored, InboundMessage
from socialcrm.database import insert_numbered, insert_rows, one_of
from socialcrm.domain.channel import Channel, gap_until, is_late
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Handler
from socialcrm.domain.ledger import Fate, Origin
from socialcrm.domain.message import AuthorKind, Delivery, Direction, Message, Step
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.domain.words import clean, preview
from socialcrm.engine import ledger, posts, survey
from socialcrm.engine.files import entry_of
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One message of one raw event."""

    event: ledger.Waiting
    message: InboundMessage


async def ingest(line: Line) -> int:
    """Take one batch. When something in it cannot be stored, its events are taken one by one, so that only the one at
    fault becomes a dead letter."""
    try:
        return await _ingest(line)
    except Exception:
        log.exception("a batch of raw events could not be stored; taking them one by one")
        return await _ingest_singly(line)


async def _ingest(line: Line) -> int:
    async with line.database.write() as session:
        claimed = await ledger.claim(session, line.settings.line.batch)
        if claimed is None:
            return 0
        await _store(session, line, *claimed)
    line.live.ring()
    return len(claimed[1])


async def _ingest_singly(line: Line) -> int:
    async with line.database.write() as session:
        claimed = await ledger.claim(session, line.settings.line.batch)
        if claimed is None:
            return 0
        channel, events = claimed
        for event in events:
            try:
                async with line.database.savepoint(session):
                    await _store(session, line, channel, [event])
            except Exception as error:
                log.exception("raw event %s could not be stored", event.id)
                fates = ledger.Fates()
                fates.settle(event.id, Fate.DEAD, f"internal error: {type(error).__name__}")
                await fates.write(session, line.now())
                await session.refresh(channel)
    line.live.ring()
    return len(events)


async def _store(session: AsyncSession, line: Line, channel: Channel, events: Sequence[ledger.Waiting]) -> None:
    now = line.now()
    connector = line.channels.open(channel)
    fates = ledger.Fates()
    heard_at = max(event.received_at for event in events)
    for column, value in gap_until(channel, heard_at).items():
        setattr(channel, column, value)
    items = [item for event in events for item in _read(connector, event, fates)]
    await _store_new(session, line, channel, connector, [i for i in items if _is_new(i.message)], fates)
    for item in items:  # after the new ones: an edit may come in one batch with what it edits
        if item.message.button is not None:
            is_ours = await survey.pressed(session, line, item.message.button)
            fates.settle(item.event.id, *((Fate.STORED,) if is_ours else (Fate.IGNORED, "a button we do not know")))
        elif item.message.change is not Change.NEW:
            await _change(session, line, channel, item, fates)
    channel.ingested_at = now
    channel.received_at = heard_at
    channel.succeeded_at = max(heard_at, channel.succeeded_at or heard_at)
    await fates.write(session, now)


def _is_new(message: InboundMessage) -> bool:
    return message.button is None and message.change is Change.NEW


async def _store_new(
    session: AsyncSession,
    line: Line,
    channel: Channel,
    connector: Connector,
    items: Sequence[Item],
    fates: ledger.Fates,
) -> None:
    """Contacts, conversations and messages of items whose external id is not there yet."""
    now = line.now()
    numbers = {item.message.external_id for item in items}
    query = select(col(Message.external_id)).where(
        col(Message.channel_id) == channel.id, one_of(session, col(Message.external_id), numbers)
    )
    known = set((await session.execute(query)).scalars()) if numbers else set()
    fresh: list[Item] = []
    for item in items:
        if item.message.external_id in known:
            fates.settle(item.event.id, Fate.DUPLICATE)
        else:
            known.add(item.message.external_id)
            fresh.append(item)
            fates.settle(item.event.id, Fate.STORED)
    if not fresh:
        return
    contacts = await _contacts(session, channel, fresh, now)
    await _consents(session, channel, fresh)
    above = await posts.keep(session, channel, connector, [i.message.post for i in fresh if i.message.post], now)
    conversations = await _conversations(session, line, channel, fresh, contacts, above, now)
    messages = [
        _message(
            item,
            channel,
            conversations[item.message.thread_key],
            contacts[item.message.author.external_id],
            now,
            line.settings.storage.folder,
        )
        for item in fresh
    ]
    await insert_rows(session, Message, messages)
    await line.live.publish(session, "message", (_id(c) for c in conversations.values()), now)


def _read(connector: Connector, event: ledger.Waiting, fates: ledger.Fates) -> list[Item]:
    """The messages of a raw event; one that has none is settled here, with the reason."""
    try:
        messages = connector.read(event.event)
    except Ignored as error:
        fates.settle(event.id, Fate.IGNORED, error.reason)
    except BadPayload as error:
        fates.settle(event.id, Fate.DEAD, error.reason)
    except Exception as error:
        log.exception("raw event %s cannot be read", event.id)
        fates.settle(event.id, Fate.DEAD, f"internal error: {type(error).__name__}")
    else:
        if not messages:
            fates.settle(event.id, Fate.IGNORED, "nothing in it that we know")
        if event.origin == Origin.SEARCH and all(m.author.is_self for m in messages):
            fates.settle(event.id, Fate.IGNORED, "a post of our own with a watched word in it")
            return []
        # A clock that runs ahead must not hold its message at the top of the queue for ever.
        return [Item(event, replace(m, sent_at=min(m.sent_at, event.received_at))) for m in messages]
    return []


async def _change(session: AsyncSession, line: Line, channel: Channel, item: Item, fates: ledger.Fates) -> None:
    """Mirror an edit or a deletion. The first text stays in the ledger."""
    now = line.now()
    query = select(Message).where(
        col(Message.channel_id) == channel.id, col(Message.external_id) == item.message.external_id
    )
    message = (await session.execute(query)).scalar_one_or_none()
    if message is None:
        fates.settle(item.event.id, Fate.IGNORED, "it changes a message that we do not have")
        return
    if item.message.change is Change.DELETE:
        await preview_again(session, message, "")
        message.deleted_at = item.message.sent_at
    elif item.message.change is Change.FAILED:
        reason = clean(item.message.text)
        message.delivery, message.delivery_error = Delivery.FAILED, reason
        sent = update(OutboxItem).where(col(OutboxItem.message_id) == message.id)
        await session.execute(sent.values(status=OutboxStatus.FAILED.value, reason=reason))
    elif _is_shown_after(message, text := clean(item.message.text), item.message.sent_at):
        await preview_again(session, message, text)
        message.text = text
        message.step = Step.ANALYZE if message.direction == Direction.IN else Step.DONE
    fates.settle(item.event.id, Fate.STORED)
    await session.flush()
    await line.live.publish(session, "message", [message.conversation_id], now)


def _is_shown_after(message: Message, text: str, at: datetime) -> bool:
    """Take an edit of a time into the history of a message: whether its text is what is shown from now on. An edit that
    comes late, after a newer one, is one of the earlier texts."""
    since, known = message.edited_at or message.sent_at, {"text": text, "at": at.isoformat()}
    if message.edited_at and at < message.edited_at:
        if known not in message.versions:
            message.versions = sorted([*message.versions, known], key=lambda version: version["at"])
        return False
    message.edited_at = at
    if text == message.text:
        return False
    message.versions = [*message.versions, {"text": message.text, "at": since.isoformat()}]
    return True


async def preview_again(session: AsyncSession, message: Message, text: str) -> None:
    """Where the queue shows the start of a message, it shows that of its new text."""
    shown = update(Conversation).where(
        col(Conversation.id) == message.conversation_id, col(Conversation.preview) == preview(message.text)
    )
    await session.execute(shown.values(preview=preview(text)))


async def _contacts(session: AsyncSession, channel: Channel, items: Sequence[Item], now: datetime) -> dict[str, int]:
    """The contact of each author, known or new: external id -> number."""
    authors = {item.message.author.external_id: item.message.author for item in items}
    query = select(col(Identity.external_id), col(Identity.contact_id)).where(
        col(Identity.channel_id) == channel.id, one_of(session, col(Identity.external_id), authors)
    )
    found = {external_id: contact_id for external_id, contact_id in (await session.execute(query)).all()}
    new = {number: author for number, author in authors.items() if number not in found}
    contacts = [
        {"name": clean(a.name) or clean(a.handle) or number, "created_at": now, "is_bot": a.is_bot}
        for number, a in new.items()
    ]
    found |= zip(new, await insert_numbered(session, Contact, contacts), strict=True)
    identities = [
        {
            "contact_id": found[number],
            "channel_id": channel.id,
            "external_id": number,
            "name": clean(a.name),
            "handle": clean(a.handle),
        }
        for number, a in new.items()
    ]
    await insert_rows(session, Identity, identities)
    return found


async def _consents(session: AsyncSession, channel: Channel, items: Sequence[Item]) -> None:
    """Who asked us never to write here again, and who took that back; by the time of what they wrote."""
    for message in sorted((i.message for i in items if i.message.consent is not None), key=lambda m: m.sent_at):
        whose = update(Identity).where(
            col(Identity.channel_id) == channel.id, col(Identity.external_id) == message.author.external_id
        )
        await session.execute(whose.values(stopped_at=None if message.consent else message.sent_at))


async def _conversations(
    session: AsyncSession,
    line: Line,
    channel: Channel,
    items: Sequence[Item],
    contacts: dict[str, int],
    above: dict[str, int],
    now: datetime,
) -> dict[str, Conversation]:
    """The open conversation of each thread: found, reopened when it was resolved not long ago, or new."""
    threads = {item.message.thread_key for item in items}
    query = (
        select(Conversation)
        .where(col(Conversation.channel_id) == channel.id, one_of(session, col(Conversation.thread_key), threads))
        .order_by(col(Conversation.id))
        .with_for_update(key_share=True)
    )
    found = {c.thread_key: c for c in (await session.execute(query)).scalars()}  # the newest of a thread wins
    opened: list[tuple[Conversation, EventKind]] = []
    reopen_after = now - timedelta(days=line.settings.engagement.reopen_days)
    asked = await survey.asked_for_comment(session, line, [c for c in found.values() if c.resolved_at], now)
    for item in items:
        inbound = item.message
        conversation = found.get(inbound.thread_key)
        is_new = conversation is None
        if conversation is None or (conversation.resolved_at and conversation.resolved_at < reopen_after):
            conversation = found[inbound.thread_key] = _conversation(inbound, channel, contacts)
            opened.append((conversation, EventKind.OPENED))
        elif inbound.author.is_self:
            pass  # what we wrote elsewhere is no survey comment and brings nothing back
        elif conversation.id in asked and clean(inbound.text).strip():
            await survey.comment_in_chat(session, line, asked.pop(_id(conversation)), inbound.text)
        elif conversation.status == ConversationStatus.RESOLVED:
            _reopen(conversation)
            opened.append((conversation, EventKind.REOPENED))
        elif conversation.status in (ConversationStatus.PENDING, ConversationStatus.SNOOZED):
            conversation.status = ConversationStatus.OPEN
        _count(conversation, inbound, is_new)
        if conversation.post_id is None and inbound.post:
            conversation.post_id = above[inbound.post.external_id]
    session.add_all(c for c, _ in opened)
    await session.flush()
    events = [{"conversation_id": c.id, "at": now, "kind": kind.value} for c, kind in opened]
    await insert_rows(session, ConversationEvent, events)
    return {thread: found[thread] for thread in threads}


def _conversation(inbound: InboundMessage, channel: Channel, contacts: dict[str, int]) -> Conversation:
    return Conversation(
        channel_id=_id(channel),
        contact_id=contacts[inbound.author.external_id],
        thread_key=inbound.thread_key,
        kind=inbound.kind,
        opened_at=inbound.sent_at,
        last_message_at=inbound.sent_at,
    )


def _reopen(conversation: Conversation) -> None:
    conversation.status, conversation.resolved_at = ConversationStatus.OPEN, None
    conversation.handler = Handler.BOT if conversation.agent_id is None else Handler.HUMAN


def _count(conversation: Conversation, inbound: InboundMessage, is_new: bool) -> None:
    conversation.message_count += 1
    if is_new or inbound.sent_at >= conversation.last_message_at:
        conversation.last_message_at = inbound.sent_at
        conversation.preview = preview(inbound.text) or _attached(inbound)
    if not inbound.author.is_self and conversation.status != ConversationStatus.RESOLVED:
        conversation.unread_count += 1
        conversation.waiting_since_at = min(conversation.waiting_since_at or inbound.sent_at, inbound.sent_at)


def _attached(inbound: InboundMessage) -> str:
    return f"[{inbound.attachments[0].kind}]" if inbound.attachments else ""


def _message(
    item: Item, channel: Channel, conversation: Conversation, contact_id: int, now: datetime, folder: Path
) -> dict[str, object]:
    inbound = item.message
    is_self = inbound.author.is_self
    return {
        "conversation_id": conversation.id,
        "channel_id": channel.id,
        "contact_id": contact_id,
        "external_id": inbound.external_id,
        "raw_event_id": item.event.id,
        "direction": (Direction.OUT if is_self else Direction.IN).value,
        "kind": inbound.kind.value,
        "author_kind": (AuthorKind.SELF if is_self else AuthorKind.CONTACT).value,
        "text": clean(inbound.text),
        "attachments": [entry_of(folder, attachment) for attachment in inbound.attachments],
        "reply_to": inbound.reply_to,
        "sent_at": inbound.sent_at,
        "received_at": item.event.received_at,
        "is_late": item.event.origin == Origin.BACKFILL or is_late(channel, inbound.sent_at, item.event.received_at),
        "is_found": item.event.origin == Origin.SEARCH,
        "processed_at": now if is_self else None,
        "step": (Step.DONE if is_self else Step.ANALYZE).value,
    }


def _id(row: Conversation | Channel) -> int:
    if row.id is None:
        raise ValueError(f"{type(row).__name__} has no number yet")
    return row.id
