"""Answers to surveys: from a button, a number, a text or the page; what a low score sets off, and the comment."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from socialcrm.database import insert_numbered
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Priority
from socialcrm.domain.message import AuthorKind, Direction, Message, Step
from socialcrm.domain.question import Question
from socialcrm.domain.survey import LowScore, Survey, is_closed
from socialcrm.domain.survey_form import SCORE, Form, answers_of, open_items, score_of
from socialcrm.domain.survey_words import SKIP
from socialcrm.domain.triage import higher
from socialcrm.domain.words import clean
from socialcrm.engine import survey_forms
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.ask import TAKERS, close, lock_conversation
from socialcrm.engine.assign import enqueue
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import reopen
from socialcrm.engine.survey_questions import KIND, item_of, put

OLD_VALUE = "csat"
"""Begins the values of buttons that were sent before there were questions."""


async def pressed(session: AsyncSession, line: Line, value: str) -> bool:
    """An old button under a survey was pressed; False when it is not one of ours."""
    kind, _, rest = value.partition(":")
    token, _, number = rest.rpartition(":")
    if kind != OLD_VALUE or not (number.isascii() and number.isdecimal()):
        return False
    return await score(session, line, token, int(number)) is not None


async def score(
    session: AsyncSession, line: Line, token: str, number: int, *, is_in_chat: bool = True
) -> Survey | None:
    """Keep a score; the first one counts. The survey, or None when there is none with this token, or no such score."""
    row = await locked(session, token)
    if row is None:
        return None
    value = ("yes" if number else "no") if row.kind == "case_check" else str(number)
    if score_of(row.kind, value) is None:
        return None
    await record(session, line, row, {SCORE: value}, is_in_chat=is_in_chat)
    return row


async def _take(
    session: AsyncSession, line: Line, question: Question, value: str, text: str, message: Message | None
) -> bool:
    """An answer in the channel; the words beside it are the comment."""
    query = select(Survey).where(col(Survey.id) == question.subject_id).with_for_update()
    row = (await session.execute(query)).scalar_one_or_none()
    form = await survey_forms.form_of(session, line, row) if row else None
    item = item_of(form, question) if form else None
    if row is None or form is None or item is None or is_closed(row, line.now()):
        return row is not None and message is None
    if item.id in answers_of(row.score, row.kind, row.answers):  # on the page, meanwhile
        return message is None
    if item.type == "text" and value == SKIP:
        value = ""
    await record(session, line, row, {item.id: value}, is_in_chat=True, comment=text if item.type != "text" else "")
    if text and item.type != "text" and message is not None and row.comment == clean(text).strip():
        row.comment_message_id = message.id
    return True


TAKERS[KIND] = _take


async def record(
    session: AsyncSession,
    line: Line,
    row: Survey,
    values: Mapping[str, str],
    *,
    is_in_chat: bool,
    comment: str = "",
) -> bool:
    """Keep answers to the questions that have none yet; whether there was anything new. Asks the next one in the chat
    when the answer came from there, or says thank you."""
    form, now = await survey_forms.form_of(session, line, row), line.now()
    conversation = await session.get_one(Conversation, row.conversation_id)
    known = answers_of(row.score, row.kind, row.answers)
    new = {name: clean(value).strip() for name, value in values.items() if name not in known}
    if is_closed(row, now) or not new:
        return False
    row.answered_at, row.remind_at = row.answered_at or now, None
    if SCORE in new:
        row.score = score_of(row.kind, new.pop(SCORE))
    row.answers = {**row.answers, **new}
    if comment.strip():
        await _comment(session, row, comment, now)
    shown, _ = open_items(form, answers_of(row.score, row.kind, row.answers))
    if not known:
        data = {"score": row.score, "kind": row.kind}
        session.add(
            ConversationEvent(conversation_id=row.conversation_id, at=now, kind=EventKind.SURVEY_ANSWERED, data=data)
        )
    if row.score is not None and SCORE not in known and form.is_low(row.score):
        await _on_low(session, line, form, row)
    if not shown:
        row.completed_at = now
        await close(session, KIND, row.id or 0, now)
        is_private = conversation.kind == MessageKind.DIRECT_MESSAGE  # what follows in public is for everybody
        if form.asks_comment and not row.comment and is_in_chat and is_private:
            row.comment_until_at = now + timedelta(minutes=line.settings.survey.comment_minutes)
    await session.flush()
    if is_in_chat and conversation.kind == MessageKind.DIRECT_MESSAGE:
        await _go_on(session, line, form, row, conversation)
    await line.live.publish(session, "survey", [row.conversation_id], now)
    return True


async def _go_on(session: AsyncSession, line: Line, form: Form, row: Survey, conversation: Conversation) -> None:
    shown, _ = open_items(form, answers_of(row.score, row.kind, row.answers))
    if shown:
        connector = line.channels.open(await session.get_one(Channel, row.channel_id))
        await put(session, line, row, form, shown[0], conversation, connector)
    elif form.asks_comment and not row.comment:
        await _say(session, line, row, "survey_sorry" if form.is_low(row.score) else "survey_comment")
    else:
        await _say(session, line, row, "survey_thanks")


async def _on_low(session: AsyncSession, line: Line, form: Form, row: Survey) -> None:
    """What the survey wants done about a low score."""
    now, low = line.now(), form.low
    if low.alerts or low.calls:
        session.add(
            LowScore(survey_id=row.id or 0, conversation_id=row.conversation_id, wants_call=low.calls, made_at=now)
        )
    if low.reopens:
        conversation = await lock_conversation(session, row.conversation_id)
        if conversation.status == ConversationStatus.RESOLVED:
            await reopen(session, line, conversation, None, because="low_score", score=row.score)
            conversation.waiting_since_at = now
            conversation.unread_count += 1
        conversation.priority = higher(conversation.priority, Priority.HIGH)
        if conversation.agent_id is None:
            enqueue(conversation, line)
    await session.flush()


async def comment(session: AsyncSession, line: Line, token: str, text: str) -> Survey | None:
    """Keep the words that were written beside a score on the page; the first ones count. They become a message of the
    customer, so that they are understood like any other."""
    row = await locked(session, token)
    if row is None or row.answered_at is None or row.comment or not clean(text).strip():
        return row
    now = line.now()
    await _comment(session, row, text, now)
    conversation = await session.get_one(Conversation, row.conversation_id)
    message = {
        "conversation_id": row.conversation_id,
        "channel_id": row.channel_id,
        "contact_id": row.contact_id,
        "external_id": f"survey:{row.id}",
        "direction": Direction.IN.value,
        "kind": MessageKind.DIRECT_MESSAGE.value,
        "author_kind": AuthorKind.CONTACT.value,
        "text": row.comment,
        "sent_at": now,
        "received_at": now,
        "step": Step.ANALYZE.value,
    }
    (row.comment_message_id,) = await insert_numbered(session, Message, [message])
    conversation.message_count += 1
    await session.flush()
    await line.live.publish(session, "survey", [row.conversation_id], now)
    return row


async def _comment(session: AsyncSession, row: Survey, text: str, now: datetime) -> None:
    row.comment, row.commented_at, row.comment_until_at = clean(text).strip(), now, None
    await session.flush()


async def asked_for_comment(
    session: AsyncSession, line: Line, conversations: Sequence[Conversation], now: datetime
) -> dict[int, Survey]:
    """Conversations in which a score was just given and a comment may follow: number -> survey."""
    numbers = [c.id for c in conversations]
    if not numbers:
        return {}
    query = select(Survey).where(
        col(Survey.conversation_id).in_(numbers), col(Survey.comment_until_at) > now, col(Survey.comment) == ""
    )
    return {row.conversation_id: row for row in (await session.execute(query)).scalars()}


async def comment_in_chat(session: AsyncSession, line: Line, row: Survey, text: str) -> None:
    """A text that follows a score is the survey's comment; it stays a message too, so nothing is lost."""
    await _comment(session, row, text, line.now())
    conversation = await session.get_one(Conversation, row.conversation_id)
    if conversation.status == ConversationStatus.RESOLVED:
        await _say(session, line, row, "survey_thanks")
    await line.live.publish(session, "survey", [row.conversation_id], line.now())


async def commented(session: AsyncSession, channel_id: int, comments: Mapping[str, Survey]) -> None:
    """Which messages became comments: by their numbers on the platform, once they have one of ours."""
    for external_id, row in comments.items():
        found = select(col(Message.id)).where(
            col(Message.channel_id) == channel_id, col(Message.external_id) == external_id
        )
        number = await session.scalar(found)
        await session.execute(update(Survey).where(col(Survey.id) == row.id).values(comment_message_id=number))


async def _say(session: AsyncSession, line: Line, row: Survey, key: str) -> None:
    """A word in the channel after an answer that came from there; nothing in public."""
    conversation = await session.get_one(Conversation, row.conversation_id)
    if conversation.kind != MessageKind.DIRECT_MESSAGE:
        return
    form = await survey_forms.form_of(session, line, row)
    text = survey_forms.wording(line, form, row.language).reply(key)
    name = "survey_comment" if key == "survey_sorry" else key
    await send(session, Draft(conversation, text, f"{name}:{row.resolution_id}", AuthorKind.SURVEY), line.now())


async def locked(session: AsyncSession, token: str) -> Survey | None:
    """The survey with this token, locked after its conversation, as everywhere."""
    found = (
        await session.execute(select(col(Survey.id), col(Survey.conversation_id)).where(col(Survey.token) == token))
    ).first()
    if found is None:
        return None
    await lock_conversation(session, found[1])
    query = select(Survey).where(col(Survey.id) == found[0]).with_for_update()
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one()
