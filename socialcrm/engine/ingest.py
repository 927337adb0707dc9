"""Ingest: raw events -> contacts, conversations, messages. One channel's batch, one transaction."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
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
from socialcrm.domain.question import Question
from socialcrm.domain.survey import Survey
from socialcrm.domain.words import clean, preview
from socialcrm.engine import albums, ask, ledger, posts, survey_answers
from socialcrm.engine.files import entry_of
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
WAITING_FOR_THEM = (ConversationStatus.PENDING, ConversationStatus.SNOOZED)


@dataclass(frozen=True)
class Item:
    """One message of one raw event."""

    event: ledger.Waiting
    message: InboundMessage


@dataclass(frozen=True)
class Heard:
    """Messages that answer us, by their numbers on the platform."""

    answers: dict[str, ask.Match] = field(default_factory=dict)
    comments: dict[str, Survey] = field(default_factory=dict)


async def ingest(line: Line) -> int:
    """Take one batch. When something in it cannot be stored, its events are taken one by one, so that only the one at
    fault becomes a dead letter."""
    if not await line.database.has(ledger.WAITING):
        return 0
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
            press = item.message.button
            is_ours = await ask.pressed(session, line, press) or await survey_answers.pressed(session, line, press)
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
    became = await albums.joined(session, line, channel.id or 0, [item.message for item in fresh])
    for item, known_as in zip(fresh, became, strict=True):
        fates.settle(item.event.id, Fate.DUPLICATE if known_as is False else Fate.STORED)
    fresh = [
        Item(item.event, known_as)
        for item, known_as in zip(fresh, became, strict=True)
        if isinstance(known_as, InboundMessage)
    ]
    if not fresh:
        return
    now = line.now()
    contacts = await _contacts(session, channel, fresh, now)
    await _consents(session, channel, fresh)
    above = await posts.keep(session, channel, connector, [i.message.post for i in fresh if i.message.post], now)
    asked = await ask.waiting(session, line, channel, contacts.values())
    for place, items in enumerate(_rounds(fresh, {who for who, number in contacts.items() if number in asked})):
        if place:
            asked = await ask.waiting(session, line, channel, asked)
        await _store_round(session, line, channel, items, contacts, above, asked)


def _rounds(items: Sequence[Item], asked: Collection[str]) -> list[list[Item]]:
    """The items in one go; of somebody whom we asked something each message in a go of its own, for an answer decides
    what the next message is: the answer to the next question, a comment, or a new request."""
    rounds: list[list[Item]] = [[]]
    places: Counter[str] = Counter()
    for item in items:
        author = item.message.author.external_id
        while len(rounds) <= places[author]:
            rounds.append([])
        rounds[places[author]].append(item)
        places[author] += author in asked
    return rounds


async def _store_round(
    session: AsyncSession,
    line: Line,
    channel: Channel,
    items: Sequence[Item],
    contacts: dict[str, int],
    above: dict[str, int],
    asked: dict[int, list[Question]],
) -> None:
    now, heard = line.now(), Heard()
    conversations = await _conversations(session, line, channel, items, contacts, above, asked, heard)
    messages = [
        _message(
            item,
            channel,
            conversations[item.message.thread_key],
            contacts[item.message.author.external_id],
            now,
            line.settings.storage.folder,
            heard.answers.get(item.message.external_id),
        )
        for item in items
    ]
    await insert_rows(session, Message, messages)
    await _answered(session, line, channel, heard.answers)
    await survey_answers.commented(session, _id(channel), heard.comments)
    await line.live.publish(session, "message", (_id(c) for c in conversations.values()), now)


async def _answered(session: AsyncSession, line: Line, channel: Channel, heard: dict[str, ask.Match]) -> None:
    """Give answers to those who asked. What they do not take is a message like any other."""
    if not heard:
        return
    query = select(Message).where(col(Message.channel_id) == channel.id, col(Message.external_id).in_(heard))
    for message in (await session.execute(query.order_by(col(Message.id)))).scalars().all():
        match = heard[message.external_id or ""]
        question = await ask.locked(session, match.question.token)
        words = match.answer.rest if match.answer.how == "choice" else message.text
        if question and await ask.take(session, line, question, match.answer.value, words, message):
            continue
        message.question_id, message.is_choice = None, False
        message.step, message.processed_at = Step.ANALYZE, None
        conversation = await session.get_one(Conversation, message.conversation_id)
        if conversation.status == ConversationStatus.RESOLVED:
            _reopen(conversation)
            session.add(ConversationEvent(conversation_id=_id(conversation), at=line.now(), kind=EventKind.REOPENED))
        if match.answer.is_choice_only or conversation.waiting_since_at is None:
            _wait(conversation, message.sent_at)
        await session.flush()


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
    elif item.message.change in (Change.HIDE, Change.UNHIDE):
        is_hidden = item.message.change is Change.HIDE
        message.hidden_at = (message.hidden_at or item.message.sent_at) if is_hidden else None
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
    questions: dict[int, list[Question]],
    heard: Heard,
) -> dict[str, Conversation]:
    """The open conversation of each thread: found, reopened when it was resolved not long ago, or new. What answers one
    of the questions brings nothing back, and is put into `heard`."""
    now = line.now()
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
    asked = await survey_answers.asked_for_comment(session, line, list(found.values()), now)
    for item in items:
        inbound = item.message
        conversation = found.get(inbound.thread_key)
        is_new = conversation is None
        match = _heard(item, questions.get(contacts[inbound.author.external_id], ()), conversation)
        if match is not None:
            heard.answers[inbound.external_id] = match
            if conversation is None:  # a private answer to what was asked beside a public conversation
                conversation = found[inbound.thread_key] = _conversation(inbound, channel, contacts)
                conversation.status, conversation.resolved_at = ConversationStatus.RESOLVED, now
                conversation.handler = Handler.CLOSED
                session.add(conversation)
            elif conversation.status in WAITING_FOR_THEM and not match.answer.is_choice_only:
                conversation.status = ConversationStatus.OPEN
        elif conversation is None or (conversation.resolved_at and conversation.resolved_at < reopen_after):
            conversation = found[inbound.thread_key] = _conversation(inbound, channel, contacts)
            opened.append((conversation, EventKind.OPENED))
        elif inbound.author.is_self:
            pass  # what we wrote elsewhere is no survey comment and brings nothing back
        elif conversation.id in asked and clean(inbound.text).strip():
            heard.comments[inbound.external_id] = row = asked.pop(_id(conversation))
            await survey_answers.comment_in_chat(session, line, row, inbound.text)
        elif conversation.status == ConversationStatus.RESOLVED:
            _reopen(conversation)
            opened.append((conversation, EventKind.REOPENED))
        elif conversation.status in WAITING_FOR_THEM:
            conversation.status = ConversationStatus.OPEN
        _count(conversation, inbound, is_new, is_waiting=match is None or not match.answer.is_choice_only)
        if conversation.post_id is None and inbound.post:
            conversation.post_id = above[inbound.post.external_id]
    session.add_all(c for c, _ in opened)
    await session.flush()
    events = [{"conversation_id": c.id, "at": now, "kind": kind.value} for c, kind in opened]
    await insert_rows(session, ConversationEvent, events)
    return {thread: found[thread] for thread in threads}


def _heard(item: Item, questions: Sequence[Question], conversation: Conversation | None) -> ask.Match | None:
    """The question that a message answers, if it does."""
    inbound = item.message
    if not questions or inbound.author.is_self or item.event.origin == Origin.SEARCH or not inbound.text.strip():
        return None
    return ask.match(questions, conversation, inbound.kind, inbound.text)


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


def _count(conversation: Conversation, inbound: InboundMessage, is_new: bool, *, is_waiting: bool) -> None:
    conversation.message_count += 1
    if is_new or inbound.sent_at >= conversation.last_message_at:
        conversation.last_message_at = inbound.sent_at
        conversation.preview = preview(inbound.text) or _attached(inbound)
    if is_waiting and not inbound.author.is_self and conversation.status != ConversationStatus.RESOLVED:
        _wait(conversation, inbound.sent_at)


def _wait(conversation: Conversation, sent_at: datetime) -> None:
    """A person wrote and nobody has answered yet."""
    conversation.unread_count += 1
    conversation.waiting_since_at = min(conversation.waiting_since_at or sent_at, sent_at)


def _attached(inbound: InboundMessage) -> str:
    return f"[{inbound.attachments[0].kind}]" if inbound.attachments else ""


def _message(
    item: Item,
    channel: Channel,
    conversation: Conversation,
    contact_id: int,
    now: datetime,
    folder: Path,
    match: ask.Match | None,
) -> dict[str, object]:
    inbound = item.message
    is_self = inbound.author.is_self
    is_choice = match is not None and match.answer.is_choice_only and not inbound.attachments
    is_done = is_self or is_choice
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
        "question_id": match.question.id if match else None,
        "is_choice": is_choice,
        "processed_at": now if is_done else None,
        "step": (Step.DONE if is_done else Step.ANALYZE).value,
    }


def _id(row: Conversation | Channel) -> int:
    if row.id is None:
        raise ValueError(f"{type(row).__name__} has no number yet")
    return row.id
