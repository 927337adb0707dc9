"""Answer: a text from an agent, a rule or a survey -> an outgoing message and its outbox item, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Button, Connector, File, Limits, MessageKind
from socialcrm.database import insert_numbered, insert_rows
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Identity
from socialcrm.domain.conversation import Conversation, Handler
from socialcrm.domain.media import most
from socialcrm.domain.message import AuthorKind, Delivery, Direction, Message
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.domain.people import Agent
from socialcrm.domain.suggestion import Suggestion
from socialcrm.domain.words import clean, preview
from socialcrm.engine.files import Upload
from socialcrm.engine.line import Line


class CannotAnswer(Exception):
    """The text cannot be sent; the message is a sentence for the agent."""


async def reply(
    session: AsyncSession,
    line: Line,
    conversation: Conversation,
    text: str,
    agent: Agent,
    key: str,
    files: Sequence[Upload] = (),
    to: Message | None = None,
    under: Message | None = None,
) -> Message:
    """Answer as an agent: the public comment `to`, where one is given, in private; `under` one that is chosen, in
    public. The same `key` twice gives the first message back. Raises CannotAnswer."""
    now, key = line.now(), f"agent:{key}"
    if known := await _written(session, key):
        return known
    channel = await session.get_one(Channel, conversation.channel_id)
    connector = line.channels.open(channel)
    kind = conversation.kind if to is None else MessageKind.DIRECT_MESSAGE
    limit, length = connector.limits.text_length_of(kind), connector.length(text)
    if length > limit:
        raise CannotAnswer(f"This channel takes {limit:,} characters; the text has {length:,}.")
    if to is not None:
        await _check_private(session, connector, to, files, now)
    elif connector.limits.window_hours and is_closed(connector, await heard_at(session, conversation), now):
        raise CannotAnswer("The channel takes no answer until the customer writes again.")
    if under is not None and not takes_public(type(connector), under):
        raise CannotAnswer("This comment can no longer be answered in public.")
    check_files(connector.limits, kind, files)
    draft = Draft(conversation, text, key, AuthorKind.AGENT, agent.id, files=files, to=to, under=under)
    message = await send(session, draft, now)
    conversation.waiting_since_at, conversation.unread_count = None, 0
    conversation.handler = Handler.HUMAN
    if conversation.agent_id is None:
        conversation.agent_id = agent.id
    await line.live.publish(session, "message", [message.conversation_id], now)
    return message


async def note(
    session: AsyncSession, line: Line, conversation: Conversation, text: str, agent: Agent, key: str
) -> Message:
    """Write a private note for colleagues. The same `key` twice gives the first note back. Raises CannotAnswer."""
    now, key = line.now(), f"note:{key}"
    text = clean(text).strip()
    if not text:
        raise CannotAnswer("There is nothing to write down: type a note first.")
    known = select(Message).where(col(Message.channel_id) == conversation.channel_id, col(Message.external_id) == key)
    message = (await session.execute(known)).scalar_one_or_none()
    if message is None:
        row = _outgoing(Draft(conversation, text, key, AuthorKind.AGENT, agent.id), now)
        row |= {"direction": Direction.NOTE.value, "delivery": Delivery.NONE.value, "external_id": key}
        (number,) = await insert_numbered(session, Message, [row])
        message = await session.get_one(Message, number)
        await line.live.publish(session, "message", [message.conversation_id], now)
    return message


@dataclass(frozen=True)
class Draft:
    """A text that should go out. `key` makes asking twice harmless."""

    conversation: Conversation
    text: str
    key: str
    author: AuthorKind
    agent_id: int | None = None
    buttons: Sequence[Button] = ()
    answers_id: int | None = None
    """The incoming message that it answers."""
    reply_to: str | None = None
    """That message's number on the platform."""
    files: Sequence[Upload] = ()
    to: Message | None = None
    """The public comment that is answered in private: only who wrote it reads the answer."""
    under: Message | None = None
    """The public comment that is answered in public, where one was chosen; else the newest is."""


async def heard_at(session: AsyncSession, conversation: Conversation) -> datetime | None:
    """When the customer of a private conversation last wrote; None of a public one, which no window closes."""
    if conversation.kind != MessageKind.DIRECT_MESSAGE:
        return None
    theirs = (col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN)
    newest: datetime | None = await session.scalar(
        select(col(Message.sent_at)).where(*theirs).order_by(col(Message.sent_at).desc()).limit(1)
    )
    return newest


def is_closed(connector: Connector, heard: datetime | None, now: datetime) -> bool:
    """Whether it is too late for any agent's answer, in whatever form."""
    window = connector.window(heard) if heard else None
    return bool(window and now > (window.late_until or window.closes_at) and not window.has_template)


async def private_answer(session: AsyncSession, message: Message) -> Message | None:
    """The answer that a public comment got in private, unless it failed."""
    query = select(Message).where(
        col(Message.answers_id) == message.id,
        col(Message.kind) == MessageKind.DIRECT_MESSAGE.value,
        col(Message.delivery) != Delivery.FAILED.value,
    )
    return (await session.execute(query.limit(1))).scalar_one_or_none()


async def _check_private(
    session: AsyncSession, connector: Connector, to: Message, files: Sequence[Upload], now: datetime
) -> None:
    if not takes_private(type(connector), to):
        raise CannotAnswer("This message cannot be answered in private.")
    hours = connector.limits.private_reply_hours
    if hours is not None and now > to.sent_at + timedelta(hours=hours):
        raise CannotAnswer("It is too late to answer this comment in private.")
    if hours is not None and await private_answer(session, to):
        raise CannotAnswer("This comment was answered in private already: the channel allows that once.")
    if files:
        raise CannotAnswer("A private answer to a comment carries no files.")


def takes_private(connector: type[Connector], message: Message) -> bool:
    """Whether a message is public and its author can be answered in private."""
    is_public = message.direction == Direction.IN and message.kind != MessageKind.DIRECT_MESSAGE
    return is_public and message.deleted_at is None and connector.can("private_reply")


def takes_public(connector: type[Connector], message: Message) -> bool:
    """Whether a message is public, is there, and can be answered where it stands."""
    is_public = message.direction == Direction.IN and message.kind != MessageKind.DIRECT_MESSAGE
    return is_public and message.deleted_at is None and connector.can("reply")


def check_files(limits: Limits, kind: str, files: Sequence[Upload | File]) -> None:
    """Whether a channel takes these files beside an answer to a message of `kind`. Raises CannotAnswer."""
    media = limits.media_of(kind)
    if files and not media:
        raise CannotAnswer("This channel takes no files.")
    if len(files) > limits.files:
        raise CannotAnswer(f"This channel takes {limits.files} files at once; these are {len(files)}.")
    for file in files:
        largest = most(media, file.content_type)
        if not largest:
            raise CannotAnswer(f"This channel does not take files like {file.name or file.content_type}.")
        if file.size > largest:
            raise CannotAnswer(
                f"{file.name or file.content_type} is too large: this channel takes {_megabytes(largest)}."
            )
    together = sum(file.size for file in files)
    if limits.files_bytes is not None and together > limits.files_bytes:
        raise CannotAnswer(f"The files are too large together: this channel takes {_megabytes(limits.files_bytes)}.")


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:g} MB"


async def send(session: AsyncSession, draft: Draft, now: datetime) -> Message:
    """Write an outgoing message and the outbox item that carries it. Raises CannotAnswer."""
    if not clean(draft.text).strip() and not draft.files:
        raise CannotAnswer("There is nothing to send: write a text first.")
    if message := await _written(session, draft.key):
        return message
    if chosen := draft.to or draft.under:
        draft = replace(draft, answers_id=chosen.id, reply_to=chosen.external_id)
    elif draft.answers_id is None:
        draft = await _answering(session, draft)
    (number,) = await send_all(session, [draft], now)
    return await session.get_one(Message, number)


async def send_all(session: AsyncSession, drafts: Sequence[Draft], now: datetime) -> list[int]:
    """Write many at once, none of which was written before; the numbers of the messages."""
    if not drafts:
        return []
    await session.flush()
    numbers = await insert_numbered(session, Message, [_outgoing(draft, now) for draft in drafts])
    query = select(col(Identity.contact_id), col(Identity.channel_id), col(Identity.external_id)).where(
        col(Identity.contact_id).in_({_contact(draft) for draft in drafts})
    )
    recipients = {(contact, channel): name for contact, channel, name in (await session.execute(query)).all()}
    items = []
    for draft, number in zip(drafts, numbers, strict=True):
        conversation = draft.conversation
        recipient = recipients.get((_contact(draft), conversation.channel_id), "")
        items.append(_item(draft, number, recipient, now))
        conversation.message_count += 1
        conversation.last_message_at = max(conversation.last_message_at, now)
        if draft.author is AuthorKind.AGENT:  # in the queue the customer's words tell more than our automatic ones
            conversation.preview = preview(draft.text) or f"[{draft.files[0].entry['kind']}]"
    await insert_rows(session, OutboxItem, items)
    given = [
        n for draft, n in zip(drafts, numbers, strict=True) if draft.author is AuthorKind.AGENT and draft.answers_id
    ]
    await insert_rows(session, Suggestion, [{"message_id": number} for number in given])  # for `suggest` to learn from
    return numbers


async def _written(session: AsyncSession, key: str) -> Message | None:
    query = select(Message).join(OutboxItem, col(OutboxItem.message_id) == col(Message.id))
    return (await session.execute(query.where(col(OutboxItem.key) == key))).scalar_one_or_none()


def _contact(draft: Draft) -> int:
    chosen = draft.to or draft.under
    return chosen.contact_id if chosen else draft.conversation.contact_id


async def retry(session: AsyncSession, line: Line, message: Message) -> None:
    """Send a failed or unknown message again, because an agent says so."""
    await _settle(session, line, message, OutboxStatus.WAITING)
    line.work.set()


async def mark_sent(session: AsyncSession, line: Line, message: Message) -> None:
    """An unknown message did arrive, an agent says."""
    await _settle(session, line, message, OutboxStatus.SENT)


async def _settle(session: AsyncSession, line: Line, message: Message, status: OutboxStatus) -> None:
    query = select(OutboxItem).where(col(OutboxItem.message_id) == message.id).with_for_update()
    item = (await session.execute(query)).scalar_one()
    if item.status not in (OutboxStatus.FAILED, OutboxStatus.UNKNOWN):
        raise CannotAnswer("This message is not waiting for a decision.")
    now = line.now()
    item.status, item.due_at, item.attempt_count, item.reason = status, now, 0, ""
    message.delivery, message.delivery_error = status.value, ""
    await session.flush()
    await line.live.publish(session, "message", [message.conversation_id], now)


def _outgoing(draft: Draft, now: datetime) -> dict[str, object]:
    conversation = draft.conversation
    return {
        "conversation_id": conversation.id,
        "channel_id": conversation.channel_id,
        "contact_id": _contact(draft),
        "direction": Direction.OUT.value,
        "kind": MessageKind.DIRECT_MESSAGE.value if draft.to else conversation.kind,
        "author_kind": draft.author.value,
        "agent_id": draft.agent_id,
        "text": clean(draft.text).strip(),
        "buttons": [{"label": b.label, "value": b.value} for b in draft.buttons],
        "attachments": [file.entry for file in draft.files],
        "answers_id": draft.answers_id,
        "sent_at": now,
        "received_at": now,
        "processed_at": now,
        "delivery": Delivery.WAITING.value,
    }


def _item(draft: Draft, message_id: int, recipient: str, now: datetime) -> dict[str, object]:
    conversation = draft.conversation
    is_private = conversation.kind == MessageKind.DIRECT_MESSAGE
    return {
        "key": draft.key,
        "channel_id": conversation.channel_id,
        "conversation_id": conversation.id,
        "message_id": message_id,
        "action": "private_reply" if draft.to else "direct_message" if is_private else "reply",
        "payload": {
            "thread_key": conversation.thread_key,
            "recipient": recipient,
            "text": clean(draft.text).strip(),
            "buttons": [{"label": b.label, "value": b.value} for b in draft.buttons],
            "reply_to": None if is_private else draft.reply_to,
            "is_human": draft.author is AuthorKind.AGENT,
            "files": [file.entry for file in draft.files],
        },
        "created_at": now,
        "due_at": now,
    }


async def _answering(session: AsyncSession, draft: Draft) -> Draft:
    """The draft with the newest incoming message that is still there as what it answers; a survey answers nothing."""
    query = (
        select(col(Message.id), col(Message.external_id))
        .where(
            col(Message.conversation_id) == draft.conversation.id,
            col(Message.direction) == Direction.IN,
            col(Message.deleted_at).is_(None),
        )
        .order_by(col(Message.id).desc())
    )
    last = (await session.execute(query.limit(1))).first()
    if last is None:
        return draft
    number = None if draft.author is AuthorKind.SURVEY else last[0]
    return replace(draft, answers_id=number, reply_to=last[1])
