"""Answer: a text from an agent, a rule or a survey -> an outgoing message and its outbox item, in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from connectors.base import Button, MessageKind
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Identity
from socialcrm.domain.conversation import Conversation, Handler
from socialcrm.domain.message import AuthorKind, Delivery, Direction, Message
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.domain.people import Agent
from socialcrm.domain.words import clean, preview
from socialcrm.engine.line import Line


class CannotAnswer(Exception):
    """The text cannot be sent; the message is a sentence for the agent."""


async def reply(
    session: AsyncSession, line: Line, conversation: Conversation, text: str, agent: Agent, key: str
) -> Message:
    """Answer as an agent. The same `key` twice gives the first message back. Raises CannotAnswer."""
    now = line.now()
    channel = await session.get_one(Channel, conversation.channel_id)
    limit = line.channels.open(channel).limits.text_length
    if len(text) > limit:
        raise CannotAnswer(f"This channel takes {limit:,} characters; the text has {len(text):,}.")
    message = await send(
        session, conversation, text, key=f"agent:{key}", author=AuthorKind.AGENT, now=now, agent_id=agent.id
    )
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
    known = select(Message).where(
        col(Message.channel_id) == conversation.channel_id, col(Message.external_id) == key
    )
    message = (await session.execute(known)).scalar_one_or_none()
    if message is None:
        message = _outgoing(conversation, text, now, AuthorKind.AGENT, agent.id)
        message.direction, message.delivery, message.external_id = Direction.NOTE, Delivery.NONE, key
        session.add(message)
        await session.flush()
        await line.live.publish(session, "message", [message.conversation_id], now)
    return message


async def send(
    session: AsyncSession,
    conversation: Conversation,
    text: str,
    *,
    key: str,
    author: AuthorKind,
    now: datetime,
    agent_id: int | None = None,
    buttons: Sequence[Button] = (),
    answers: Message | None = None,
) -> Message:
    """Write an outgoing message and the outbox item that carries it; `key` makes asking twice harmless."""
    text = clean(text).strip()
    if not text:
        raise CannotAnswer("There is nothing to send: write a text first.")
    known = select(Message).join(OutboxItem, col(OutboxItem.message_id) == col(Message.id))
    if message := (await session.execute(known.where(col(OutboxItem.key) == key))).scalar_one_or_none():
        return message
    message = _outgoing(conversation, text, now, author, agent_id)
    message.buttons = [{"label": b.label, "value": b.value} for b in buttons]
    answers = answers or await _last_incoming(session, conversation)
    if answers is not None and author is not AuthorKind.SURVEY:
        message.answers_id = answers.id
    session.add(message)
    conversation.message_count += 1
    conversation.last_message_at = max(conversation.last_message_at, now)
    conversation.preview = preview(text)
    await session.flush()
    session.add(await _item(session, conversation, message, key, now, answers))
    await session.flush()
    return message


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


def _outgoing(
    conversation: Conversation, text: str, now: datetime, author: AuthorKind, agent_id: int | None
) -> Message:
    if conversation.id is None:
        raise ValueError("the conversation has no number yet")
    return Message(
        conversation_id=conversation.id,
        channel_id=conversation.channel_id,
        contact_id=conversation.contact_id,
        direction=Direction.OUT,
        kind=conversation.kind,
        author_kind=author,
        agent_id=agent_id,
        text=text,
        sent_at=now,
        received_at=now,
        processed_at=now,
        delivery=Delivery.WAITING,
    )


async def _last_incoming(session: AsyncSession, conversation: Conversation) -> Message | None:
    query = select(Message).where(
        col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN
    )
    return (await session.execute(query.order_by(col(Message.id).desc()).limit(1))).scalar_one_or_none()


async def _item(
    session: AsyncSession,
    conversation: Conversation,
    message: Message,
    key: str,
    now: datetime,
    answers: Message | None,
) -> OutboxItem:
    recipient = await session.scalar(
        select(Identity.external_id).where(
            col(Identity.contact_id) == conversation.contact_id, col(Identity.channel_id) == conversation.channel_id
        )
    )
    is_private = conversation.kind == MessageKind.DIRECT_MESSAGE
    if message.id is None or conversation.id is None:
        raise ValueError("the message has no number yet")
    return OutboxItem(
        key=key,
        channel_id=conversation.channel_id,
        conversation_id=conversation.id,
        message_id=message.id,
        action="direct_message" if is_private else "reply",
        payload={
            "thread_key": conversation.thread_key,
            "recipient": recipient or "",
            "text": message.text,
            "buttons": message.buttons,
            "reply_to": answers.external_id if answers and not is_private else None,
        },
        created_at=now,
        due_at=now,
    )
