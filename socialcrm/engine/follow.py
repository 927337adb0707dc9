"""Follow: what is due of cases: owners reminded, delays told before the time is over, silence, and closing answers."""

import logging
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from socialcrm.domain.case import Case, CaseConversation, CaseStatus, CaseStep, Outcome
from socialcrm.domain.casework import ACTIVE, Due, plan, what_is_due
from socialcrm.domain.conversation import Conversation, Priority
from socialcrm.domain.message import AuthorKind, Message
from socialcrm.domain.question import Question
from socialcrm.domain.triage import higher
from socialcrm.engine import ask, case_time, tell
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.case_file import key_of, lock, note, notify
from socialcrm.engine.case_links import link
from socialcrm.engine.cases import KIND, close, delay, reopen
from socialcrm.engine.line import Line
from socialcrm.engine.news import spread
from socialcrm.engine.tell import Told

log = logging.getLogger(__name__)
AGAIN = timedelta(minutes=10)
AT_ONCE = 50
"""Cases in one round; each is a transaction of its own, so that one that fails holds nobody up."""


async def follow(line: Line) -> int:
    """Take the cases of which something is due, then news that wait to be told; how many were taken."""
    return await _follow_cases(line) + await spread(line)


async def _follow_cases(line: Line) -> int:
    query = select(col(Case.id)).where(col(Case.follow_at) <= line.now()).order_by(col(Case.follow_at), col(Case.id))
    async with line.database.read() as session:
        numbers = [number for number in (await session.execute(query.limit(AT_ONCE))).scalars() if number is not None]
    done = 0
    for number in numbers:
        try:
            async with line.database.write() as session:
                done += await _follow_one(session, line, number)
        except Exception:
            log.exception("case %s could not be followed; trying again later", number)
            await _put_off(line, number)
            done += 1
    if done:
        line.live.ring()
    return done


async def _follow_one(session: AsyncSession, line: Line, number: int) -> int:
    case = await lock(session, number)
    if case is None:
        return 0
    due = what_is_due(case, line.now())
    if due is None:  # another process was quicker
        plan(case)
        return 0
    match due:
        case Due.PUBLIC:
            await _close_in_public(session, line, case)
        case Due.SILENT:
            case.silent_at = case.remind_at = None
            if case.status == CaseStatus.RESOLVED:
                await close(session, line, case, None, Outcome.SILENT, tells="case_silent")
        case Due.REMIND:
            case.remind_at = None
            await _remind(session, line, case)
        case Due.NOTICE:
            case.notice_at = case.warn_at = None
            await _tell_delay(session, line, case)
        case Due.WARN:
            case.warn_at = None
            await _warn(session, line, case, "near")
    plan(case)
    return 1


async def _put_off(line: Line, number: int) -> None:
    """Look at a case again in a while, so that one that fails does not stand before the others for ever."""
    async with line.database.write() as session:
        await session.execute(update(Case).where(col(Case.id) == number).values(follow_at=line.now() + AGAIN))


async def _warn(session: AsyncSession, line: Line, case: Case, because: str) -> None:
    """Remind the owner, on the lists and by the place of the conversation in the queue."""
    if case.status not in ACTIVE:
        return
    conversation = await session.get_one(Conversation, case.conversation_id)
    conversation.priority = higher(conversation.priority, Priority.HIGH)
    note(session, line, case, CaseStep.WARNED, None, None, because=because, due_at=case.due_at.isoformat())
    kind = "case_due" if because == "near" else "case_late"
    await notify(session, line, case, kind, f"{because}:{case.due_at.timestamp():.0f}")
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id], line.now())


async def _tell_delay(session: AsyncSession, line: Line, case: Case) -> None:
    """Nobody has written why it takes longer, and the time is nearly over: the customer is told all the same, with what
    is known; not more often than the settings say."""
    if case.status not in ACTIVE or case.paused_at is not None:
        return
    if case.delay_count >= line.settings.cases.most_notices:
        await _warn(session, line, case, "unexplained")
        return
    key = "case_because_incident" if case.incident_id else "case_because"
    because = tell.in_words(line, await tell.language_of(session, line, case), key, case)
    await delay(session, line, case, None, await case_time.later(session, line, case), because)


async def _remind(session: AsyncSession, line: Line, case: Case) -> None:
    """Ask once more who was asked and is silent."""
    query = (
        select(Question)
        .where(col(Question.kind) == KIND, col(Question.subject_id) == case.id, col(Question.answered_at).is_(None))
        .order_by(col(Question.id).desc())
        .limit(1)
    )
    question = (await session.execute(query)).scalar_one_or_none()
    if case.status != CaseStatus.RESOLVED or question is None:
        return
    if question.is_aside:  # a comment can be answered in private once
        note(session, line, case, CaseStep.REMINDED, None, Told(untold="public"))
        return
    zone = tell.zone_of(line)
    until = tell.say_when(case.silent_at or question.expires_at, question.language, zone)
    text = tell.in_words(line, question.language, "case_reminder", case, due=until)
    message = await ask.ask_again(session, line, question, text, key_of(case, "remind"), AuthorKind.RULE)
    note(session, line, case, CaseStep.REMINDED, None, Told(message))
    await line.live.publish(session, "message", [question.conversation_id], line.now())


async def _close_in_public(session: AsyncSession, line: Line, case: Case) -> None:
    """A short answer under each public comment of the customer that belongs to the case; nothing personal in it."""
    case.public_at = None
    query = (
        select(Conversation)
        .join(CaseConversation, col(CaseConversation.conversation_id) == col(Conversation.id))
        .where(
            col(CaseConversation.case_id) == case.id,
            col(Conversation.kind) != MessageKind.DIRECT_MESSAGE.value,
            col(Conversation.contact_id) == case.contact_id,
        )
        .order_by(col(Conversation.id))
    )
    text = tell.in_words(line, await tell.language_of(session, line, case), "case_public", case)
    first = await session.get_one(Message, case.message_id)
    for conversation in (await session.execute(query)).scalars().all():
        place = await tell.comment_place(session, line, conversation)
        if first.conversation_id == conversation.id and first.deleted_at is not None:
            place = "deleted"
        if isinstance(place, str):
            note(session, line, case, CaseStep.PUBLIC, None, Told(untold=place))
            continue
        is_first = first.conversation_id == conversation.id
        draft = Draft(
            conversation,
            text,
            f"{key_of(case, 'public')}:{conversation.id}",
            AuthorKind.RULE,
            answers_id=first.id if is_first else None,
            reply_to=first.external_id if is_first else None,
        )
        message = await send(session, draft, line.now())
        note(session, line, case, CaseStep.PUBLIC, None, Told(message))
        await line.live.publish(session, "message", [conversation.id or 0], line.now())


async def confirmed(
    session: AsyncSession, line: Line, question: Question, value: str, text: str, message: Message | None
) -> bool:
    """The customer says whether it is solved: yes closes the case, no reopens it with priority, even when somebody
    closed it in between. The question's conversation is locked; what else is to be said `follow` says later."""
    query = select(Case).where(col(Case.id) == question.subject_id).with_for_update(key_share=True)
    case = (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()
    is_this_round = case is not None and question.key == key_of(case, "solved")
    if case is None or value not in ("yes", "no") or not is_this_round or case.duplicate_of_id is not None:
        return False
    if case.status not in (CaseStatus.RESOLVED, CaseStatus.CLOSED):
        return False
    note(session, line, case, CaseStep.ANSWERED, None, Told(message), value=value, text=text)
    if message is not None:
        await link(session, line, case, message.conversation_id, None, "answered")
    where = await _where(session, message.conversation_id if message else question.conversation_id)
    if value == "no":
        await reopen(session, line, case, None, because="customer", tells=where is not None, where=where)
    elif case.status == CaseStatus.RESOLVED:
        tells = "case_thanks" if where is not None else ""
        await close(session, line, case, None, Outcome.CONFIRMED, tells=tells, where=where)
    else:
        case.outcome = Outcome.CONFIRMED
    return True


async def _where(session: AsyncSession, conversation_id: int) -> Conversation | None:
    """Where an answer is answered: in the private conversation in which it came. In public nothing more is said."""
    conversation = await session.get_one(Conversation, conversation_id)
    return conversation if conversation.kind == MessageKind.DIRECT_MESSAGE else None


ask.TAKERS[KIND] = confirmed
