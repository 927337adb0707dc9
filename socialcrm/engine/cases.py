"""Cases: complaints are moved, asked about, closed and reopened; each step is kept, and told."""

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseEvent, CaseStatus, CaseStep, Outcome, WaitsFor
from socialcrm.domain.casework import ACTIVE, CannotMove, ask_until, check_move, harder, stop_clock
from socialcrm.domain.conversation import Conversation, ConversationStatus, Priority
from socialcrm.domain.message import AuthorKind, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.question import NO, YES, Choice
from socialcrm.domain.triage import higher
from socialcrm.engine import ask, case_time, tell
from socialcrm.engine.case_file import changed, key_of, note, notify, open_case_of, tell_thread, told_of
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import reopen as bring_back
from socialcrm.engine.tell import Told

KIND = "case"
"""Of the question whether it is solved."""


async def begin(
    session: AsyncSession, line: Line, case: Case, by: Agent | None, *, tells: bool = False, text: str = ""
) -> None:
    """Somebody works on it."""
    check_move(case, CaseStatus.WORKING)
    if case.status in (CaseStatus.RESOLVED, CaseStatus.CLOSED):
        await reopen(session, line, case, by, tells=tells, text=text)
        return
    before = case.status
    case.status, case.waits_for = CaseStatus.WORKING, WaitsFor.NOBODY
    await case_time.go_on(session, line, case)
    if by is not None and case.agent_id is None:
        case.agent_id = by.id
    await _moved(session, line, case, by, before, "case_working" if tells else "", text)


async def answered(session: AsyncSession, line: Line, conversation: Conversation, agent: Agent) -> None:
    """An agent wrote in a conversation: a case of it that nobody had begun is being worked on. The conversation is
    locked, and no other one is needed."""
    case = await open_case_of(session, conversation)
    if case is None or case.status != CaseStatus.OPEN:
        return
    change = (
        update(Case)
        .where(col(Case.id) == case.id, col(Case.status) == CaseStatus.OPEN.value)
        .values(status=CaseStatus.WORKING.value, agent_id=func.coalesce(col(Case.agent_id), agent.id))
    )
    if getattr(await session.execute(change), "rowcount", 0):
        data = {"from": CaseStatus.OPEN.value, "to": CaseStatus.WORKING.value}
        note(session, line, case, CaseStep.MOVED, agent, None, **data)


async def wait(
    session: AsyncSession,
    line: Line,
    case: Case,
    by: Agent | None,
    waits_for: WaitsFor,
    *,
    tells: bool = True,
    text: str = "",
) -> None:
    """It waits for the customer, which stops its clock, or for somebody outside, which does not."""
    check_move(case, CaseStatus.WAITING)
    before = case.status
    case.status, case.waits_for = CaseStatus.WAITING, waits_for
    if waits_for == WaitsFor.CUSTOMER:
        await case_time.pause(session, line, case)
    await _moved(session, line, case, by, before, f"case_waiting_{waits_for.value}" if tells else "", text)


async def resolve(session: AsyncSession, line: Line, case: Case, by: Agent | None, *, text: str = "") -> None:
    """We think that it is solved: the customer is asked. Silence closes it; who cannot be asked, a person decides."""
    check_move(case, CaseStatus.RESOLVED)
    before, now = case.status, line.now()
    case.status, case.waits_for, case.paused_at, case.resolved_at = CaseStatus.RESOLVED, WaitsFor.NOBODY, None, now
    stop_clock(case)
    note(session, line, case, CaseStep.MOVED, by, None, **{"from": before, "to": case.status})
    tell_thread(session, line, case, by)
    await _ask(session, line, case, by, text)
    await changed(session, line, case)


async def _ask(session: AsyncSession, line: Line, case: Case, by: Agent | None, text: str) -> None:
    settings, now = line.settings.cases, line.now()
    place = await tell.place_of(session, line, case)
    if isinstance(place, str):
        note(session, line, case, CaseStep.ASKED, by, Told(untold=place))
        return
    language = await tell.language_of(session, line, case)
    choices = [
        Choice("yes", line.engagement.reply(language, "case_yes"), YES),
        Choice("no", line.engagement.reply(language, "case_no"), NO),
    ]
    ask_until(case, now, settings.remind_days, settings.silence_days)
    question = await ask.ask(
        session,
        line,
        place.conversation,
        tell.fit(place, text or tell.in_words(line, language, "case_solved", case)),
        choices,
        kind=KIND,
        subject_id=case.id or 0,
        key=key_of(case, "solved"),
        author=AuthorKind.RULE,
        expires=(case.silent_at or now) + timedelta(days=1),
        language=language,
        to=place.to,
    )
    message = await session.get(Message, question.message_id) if question.message_id else None
    note(session, line, case, CaseStep.ASKED, by, Told(message))
    await line.live.publish(session, "message", [question.conversation_id], now)


async def close(
    session: AsyncSession,
    line: Line,
    case: Case,
    by: Agent | None,
    outcome: Outcome,
    *,
    tells: str = "",
    text: str = "",
    where: Conversation | None = None,
) -> None:
    """It is over. `tells` is the key of the standard text for the customer, told in `where` if that is given."""
    check_move(case, CaseStatus.CLOSED)
    now = line.now()
    case.status, case.outcome, case.closed_at = CaseStatus.CLOSED, outcome, now
    case.waits_for, case.paused_at, case.resolved_at = WaitsFor.NOBODY, None, case.resolved_at or now
    stop_clock(case)
    if outcome in (Outcome.CONFIRMED, Outcome.SILENT) and line.settings.cases.public_closing:
        case.public_at = case.follow_at = now
    told = await told_of(session, line, case, by, tells, text, "closed", where)
    note(session, line, case, CaseStep.CLOSED, by, told, outcome=outcome.value)
    tell_thread(session, line, case, by)
    await changed(session, line, case)


async def reopen(
    session: AsyncSession,
    line: Line,
    case: Case,
    by: Agent | None,
    *,
    because: str = "",
    tells: bool = False,
    text: str = "",
    where: Conversation | None = None,
) -> None:
    """It is not over: more severe than before, with half of the time, and first in the queue."""
    check_move(case, CaseStatus.WORKING)
    before, old = case.status, case.severity
    case.status, case.outcome, case.resolved_at, case.closed_at = CaseStatus.WORKING, Outcome.OPEN, None, None
    case.duplicate_of_id, case.public_at = None, None
    case.reopened_count += 1
    case.severity = harder(old)
    stop_clock(case)
    await case_time.restart(session, line, case, 0.5)
    conversation = where if where is not None else await session.get_one(Conversation, case.conversation_id)
    conversation.priority = higher(conversation.priority, Priority.URGENT)
    await _bring_back(session, line, conversation, by)
    told = await told_of(session, line, case, by, "case_reopened" if tells else "", text, "reopened", where)
    data = {"from": before, "because": because, "severity": case.severity, "due_at": case.due_at.isoformat()}
    note(session, line, case, CaseStep.REOPENED, by, told, **data)
    if by is None:
        await notify(session, line, case, "case_reopened", "reopened")
    tell_thread(session, line, case, by)
    await changed(session, line, case)


async def delay(
    session: AsyncSession,
    line: Line,
    case: Case,
    by: Agent | None,
    due_at: datetime,
    because: str,
    *,
    tells: bool = True,
) -> None:
    """It takes longer: a new due time and the reason, told to the customer. Raises CannotMove."""
    if case.status not in ACTIVE:
        raise CannotMove("The complaint is not being worked on: there is nothing to delay.")
    if due_at <= line.now():
        raise CannotMove("The new date lies in the past.")
    if not because.strip():
        raise CannotMove("Write why it takes longer: the customer is told.")
    before = case.due_at
    await case_time.put_off(session, line, case, due_at)
    case.delay_count += 1
    language = await tell.language_of(session, line, case)
    told = None
    if tells:
        sentence = because.strip().rstrip(".") + "."
        words = tell.in_words(line, language, "case_delay", case, because=sentence)
        told = await tell.tell(session, line, case, words, key_of(case, f"delay:{case.delay_count}"), by=by)
    data = {"from": before.isoformat(), "due_at": due_at.isoformat(), "because": because.strip()}
    note(session, line, case, CaseStep.DELAYED, by, told, **data)
    await changed(session, line, case)


async def _bring_back(session: AsyncSession, line: Line, conversation: Conversation, by: Agent | None) -> None:
    """Reopen a resolved conversation, unless the customer has a newer one in the same thread."""
    if conversation.status != ConversationStatus.RESOLVED:
        return
    newer = select(col(Conversation.id)).where(
        col(Conversation.channel_id) == conversation.channel_id,
        col(Conversation.thread_key) == conversation.thread_key,
        col(Conversation.status) != ConversationStatus.RESOLVED.value,
    )
    if (await session.execute(newer.limit(1))).first() is None:
        await bring_back(session, line, conversation, by)


async def _moved(
    session: AsyncSession, line: Line, case: Case, by: Agent | None, before: str, tells: str, text: str
) -> None:
    count = await session.scalar(select(func.count()).select_from(CaseEvent).where(col(CaseEvent.case_id) == case.id))
    told = await told_of(session, line, case, by, tells, text, f"moved:{count}")
    note(session, line, case, CaseStep.MOVED, by, told, **{"from": before, "to": case.status, "for": case.waits_for})
    tell_thread(session, line, case, by)
    await changed(session, line, case)
