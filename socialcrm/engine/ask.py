"""Ask: a question with choices in a conversation; its answer comes by button, by number, by words or by link."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Button, Connector, MessageKind
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind, Direction, Message
from socialcrm.domain.question import Answer, Choice, Question, is_open, numbered, read_answer
from socialcrm.domain.words import clean
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
VALUE = "q"

Taker = Callable[[AsyncSession, Line, Question, str, str, Message | None], Awaitable[bool]]
"""Takes an answer: (session, line, question, value, text, message). `value` is that of the choice, several joined by
commas, or the text itself where the question takes any; `text` is what the person wrote, empty for a button; `message`
is there when a message answered. True: it counts. False: it was no answer, the question stays open and a text goes its
usual way. Called at most once for a question whose answer counts, with the conversation and the question locked."""

TAKERS: dict[str, Taker] = {}
"""Kind of question -> who takes its answers; each part puts its own in when it is imported."""


@dataclass(frozen=True)
class Match:
    """A text that answers a question."""

    question: Question
    answer: Answer


async def ask(
    session: AsyncSession,
    line: Line,
    conversation: Conversation,
    text: str,
    choices: Sequence[Choice],
    *,
    kind: str,
    subject_id: int,
    key: str,
    author: AuthorKind,
    expires: datetime,
    takes_text: bool = False,
    is_multiple: bool = False,
    is_listed: bool = True,
    language: str = "",
    to: Message | None = None,
) -> Question:
    """Ask in the channel: with buttons where it has enough of them, else with a numbered list under the text.

    `is_listed` False: the text says itself how to answer. `to`: the public comment whose author is asked in private.
    `language` is that of the hint under a list, by default the contact's. The same `key` twice asks once.
    """
    query = select(Question).where(col(Question.key) == key)
    if known := (await session.execute(query)).scalar_one_or_none():
        return known
    now = line.now()
    language = language or await language_of(session, line, conversation)
    is_private = to is not None or conversation.kind == MessageKind.DIRECT_MESSAGE
    question = Question(
        key=key,
        token=secrets.token_urlsafe(16),
        kind=kind,
        subject_id=subject_id,
        conversation_id=conversation.id or 0,
        channel_id=conversation.channel_id,
        contact_id=to.contact_id if to else conversation.contact_id,
        text=clean(text).strip(),
        choices=[choice.row() for choice in choices],
        takes_text=takes_text,
        is_multiple=is_multiple,
        is_private=is_private,
        is_aside=to is not None,
        language=language,
        asked_at=now,
        expires_at=expires,
    )
    session.add(question)
    await session.flush()
    connector = line.channels.open(await session.get_one(Channel, conversation.channel_id))
    draft = _draft(line, connector, question, conversation, key, author, is_listed=is_listed, to=to)
    question.message_id = (await send(session, draft, now)).id
    await session.flush()
    return question


async def ask_again(
    session: AsyncSession, line: Line, question: Question, text: str, key: str, author: AuthorKind
) -> Message:
    """Send a question once more, under other words: the same buttons and numbers still answer it, once."""
    conversation = await session.get_one(Conversation, question.conversation_id)
    connector = line.channels.open(await session.get_one(Channel, question.channel_id))
    draft = _draft(line, connector, question, conversation, key, author, is_listed=False, text=text)
    message = await send(session, draft, line.now())
    question.message_id = message.id
    await session.flush()
    return message


def has_buttons(connector: Connector | type[Connector], kind: str, count: int) -> bool:
    """Whether a channel puts so many buttons under a message; never in public, where everybody could press them."""
    return kind == MessageKind.DIRECT_MESSAGE and 0 < count <= connector.limits.buttons


async def language_of(session: AsyncSession, line: Line, conversation: Conversation) -> str:
    """Which of our languages a person is spoken to in."""
    contact = await session.get_one(Contact, conversation.contact_id)
    return reply_language(contact.language or conversation.language, line.settings.engagement.default_language)


async def close(session: AsyncSession, kind: str, subject_id: int, now: datetime) -> None:
    """What is still open about a subject takes no answer any more."""
    mine = (col(Question.kind) == kind, col(Question.subject_id) == subject_id, col(Question.answered_at).is_(None))
    await session.execute(update(Question).where(*mine, col(Question.expires_at) > now).values(expires_at=now))


async def pressed(session: AsyncSession, line: Line, value: str) -> bool:
    """A button under a question was pressed; False when it is not one of ours. The first answer counts, once."""
    kind, _, rest = value.partition(":")
    token, _, place = rest.rpartition(":")
    if kind != VALUE or not token or not (place.isascii() and place.isdecimal() and len(place) < 4):
        return False
    question = await locked(session, token)
    if question is None or int(place) >= len(question.choices):
        return False
    await take(session, line, question, question.options[int(place)].value)
    return True


async def locked(session: AsyncSession, token: str) -> Question | None:
    """The question with this token, locked after its conversation: everybody takes the two in this order."""
    found = select(col(Question.id), col(Question.conversation_id)).where(col(Question.token) == token)
    row = (await session.execute(found)).first()
    if row is None:
        return None
    await lock_conversation(session, row[1])
    query = select(Question).where(col(Question.id) == row[0]).with_for_update(of=Question, key_share=True)
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one()


async def lock_conversation(session: AsyncSession, number: int) -> Conversation:
    """A conversation that nobody else changes until the session ends."""
    query = select(Conversation).where(col(Conversation.id) == number).with_for_update(key_share=True)
    return (await session.execute(query)).scalar_one()


async def take(
    session: AsyncSession, line: Line, question: Question, value: str, text: str = "", message: Message | None = None
) -> bool:
    """Keep an answer and give it to whom it is for; False when the question takes none any more, or not this one."""
    taker = TAKERS.get(question.kind)
    if taker is None or not is_open(question, line.now()):
        return False
    question.answered_at, question.answer = line.now(), value
    question.answer_message_id = message.id if message else None
    await session.flush()
    if await taker(session, line, question, value, text, message):
        await session.flush()
        return True
    question.answered_at, question.answer, question.answer_message_id = None, "", None
    await session.flush()
    return False


async def waiting(
    session: AsyncSession, line: Line, channel: Channel, contacts: Collection[int]
) -> dict[int, list[Question]]:
    """The open questions of people on a channel, newest first: contact -> questions. Those after which an agent wrote
    are left out: a text that comes then answers the agent."""
    query = select(Question).where(
        col(Question.channel_id) == channel.id,
        col(Question.contact_id).in_(contacts),
        col(Question.answered_at).is_(None),
        col(Question.expires_at) > line.now(),
    )
    if not contacts or not (found := (await session.execute(query)).scalars().all()):
        return {}
    newest = (
        select(col(Question.id))
        .join(
            Message,
            (col(Message.conversation_id) == col(Question.conversation_id))
            & (col(Message.direction) == Direction.OUT.value)
            & (col(Message.author_kind) == AuthorKind.AGENT.value)
            & (col(Message.id) > col(Question.message_id)),
        )
        .where(col(Question.id).in_([question.id for question in found]))
    )
    talked_over = set((await session.execute(newest)).scalars())
    open_ones: dict[int, list[Question]] = {}
    for question in sorted(found, key=lambda q: (q.asked_at, q.id or 0), reverse=True):
        if question.id not in talked_over:
            open_ones.setdefault(question.contact_id, []).append(question)
    return open_ones


def match(questions: Sequence[Question], conversation: Conversation | None, kind: str, text: str) -> Match | None:
    """The question that a text answers. One that was asked in private about something public may be answered in any
    private conversation with the same person on the channel; all others where they were asked."""
    is_private = kind == MessageKind.DIRECT_MESSAGE
    mine = [q for q in questions if q.is_private == is_private and q.kind in TAKERS]
    for place, question in enumerate(mine):
        is_here = conversation is not None and question.conversation_id == conversation.id
        if not is_here and not question.is_aside:
            continue
        if answer := read_answer(clean(text), question, is_newest=place == 0 and is_here):
            return Match(question, answer)
    return None


def _draft(
    line: Line,
    connector: Connector,
    question: Question,
    conversation: Conversation,
    key: str,
    author: AuthorKind,
    *,
    is_listed: bool,
    text: str = "",
    to: Message | None = None,
) -> Draft:
    text, options = text or question.text, question.options
    has_room = not question.is_multiple and to is None and has_buttons(connector, conversation.kind, len(options))
    buttons = [Button(c.label, f"{VALUE}:{question.token}:{n}") for n, c in enumerate(options)] if has_room else []
    if options and not buttons and is_listed:
        hint = "answer_by_numbers" if question.is_multiple else "answer_by_number"
        text = f"{text}\n{numbered(options)}\n{line.engagement.reply(question.language, hint)}"
    return Draft(conversation, text, key, author, buttons=buttons, to=to)
