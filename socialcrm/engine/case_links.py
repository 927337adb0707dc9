"""Case links: which conversations belong to a case, duplicates that become one, and who looks after it."""

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseConversation, CaseStatus, CaseStep, Cause, Outcome, Redress, Severity
from socialcrm.domain.casework import ACTIVE, SEVERITIES, CannotMove, stop_clock
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.people import Agent, Team
from socialcrm.engine import case_time, tell
from socialcrm.engine.case_file import key_of, note, tell_thread
from socialcrm.engine.line import Line

TEXTS = ("redress_note", "closure_note")
CHOICES = {"cause": Cause, "redress": Redress}
LONGEST = 2000


async def link(session: AsyncSession, line: Line, case: Case, conversation_id: int, by: Agent | None, how: str) -> None:
    """Let a conversation belong to a case; `how` says in a word why. Nothing happens where it does already."""
    known = select(col(CaseConversation.id)).where(
        col(CaseConversation.case_id) == case.id, col(CaseConversation.conversation_id) == conversation_id
    )
    if (await session.execute(known)).first() is not None:
        return
    session.add(CaseConversation(case_id=case.id or 0, conversation_id=conversation_id, linked_at=line.now()))
    note(session, line, case, CaseStep.LINKED, by, None, conversation_id=conversation_id, how=how)
    await session.flush()
    await line.live.publish(session, "conversation", [conversation_id, case.conversation_id], line.now())


async def unlink(session: AsyncSession, line: Line, case: Case, conversation_id: int, by: Agent) -> None:
    """Take a conversation out of a case again. Raises CannotMove for the one it began in."""
    if conversation_id == case.conversation_id:
        raise CannotMove("The complaint began in this conversation: it stays with it.")
    gone = delete(CaseConversation).where(
        col(CaseConversation.case_id) == case.id, col(CaseConversation.conversation_id) == conversation_id
    )
    if getattr(await session.execute(gone), "rowcount", 0):
        note(session, line, case, CaseStep.UNLINKED, by, None, conversation_id=conversation_id)
        await session.flush()
        await line.live.publish(session, "conversation", [conversation_id, case.conversation_id], line.now())


async def merge(session: AsyncSession, line: Line, case: Case, into: Case, by: Agent, *, tells: bool) -> None:
    """Close a case as a duplicate of another one, which gets its conversations. Both are locked. Raises CannotMove."""
    if case.id == into.id:
        raise CannotMove("A complaint is no duplicate of itself.")
    if case.status == CaseStatus.CLOSED or into.status == CaseStatus.CLOSED:
        raise CannotMove("One of the two complaints is closed: reopen it first.")
    now = line.now()
    rows = select(col(CaseConversation.conversation_id)).where(col(CaseConversation.case_id) == case.id)
    for number in (await session.execute(rows.order_by(col(CaseConversation.id)))).scalars().all():
        await link(session, line, into, number, by, "merged")
    case.status, case.outcome, case.duplicate_of_id = CaseStatus.CLOSED, Outcome.DUPLICATE, into.id
    case.closed_at, case.resolved_at, case.paused_at = now, case.resolved_at or now, None
    stop_clock(case)
    told = None
    if tells:
        words = tell.in_words(
            line, await tell.language_of(session, line, case), "case_merged", case, other=into.reference
        )
        told = await tell.tell(session, line, case, words, key_of(case, "merged"), by=by)
    note(session, line, case, CaseStep.MERGED, by, told, into=into.reference, into_id=into.id)
    note(session, line, into, CaseStep.MERGED, by, None, of=case.reference, of_id=case.id)
    if SEVERITIES.index(Severity(case.severity)) > SEVERITIES.index(Severity(into.severity)):
        await set_severity(session, line, into, case.severity, by)
    tell_thread(session, line, case, by)
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id, into.conversation_id], now)


async def set_severity(session: AsyncSession, line: Line, case: Case, severity: str, by: Agent | None) -> None:
    """Say how severe it is. A higher one brings the due time forward; a lower one keeps what the customer was told."""
    before = case.severity
    if severity == before:
        return
    case.severity = Severity(severity)
    is_harder = SEVERITIES.index(Severity(severity)) > SEVERITIES.index(Severity(before))
    if is_harder and case.status in ACTIVE and case.paused_at is None:
        await case_time.hurry(session, line, case)
    note(session, line, case, CaseStep.EDITED, by, None, field="severity", **{"from": before, "to": severity})


async def edit(session: AsyncSession, line: Line, case: Case, by: Agent, values: dict[str, str]) -> None:
    """Change what is known of a case: reason, severity, cause, redress and the notes. Raises CannotMove."""
    if "severity" in values:
        if values["severity"] not in SEVERITIES:
            raise CannotMove("There is no such severity.")
        await set_severity(session, line, case, values["severity"], by)
    for name in ("reason", "cause", "redress", *TEXTS):
        if name not in values:
            continue
        before, value = getattr(case, name), values[name].strip()[:LONGEST]
        if name in CHOICES and value not in list(CHOICES[name]):
            raise CannotMove("This is none of the choices: reload the page.")
        if value != before:
            setattr(case, name, value)
            note(session, line, case, CaseStep.EDITED, by, None, field=name, **{"from": before, "to": value})
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id], line.now())


async def give(
    session: AsyncSession, line: Line, case: Case, by: Agent, team: Team | None, agent: Agent | None
) -> None:
    """Give a case to a department and to a person of it, or to nobody yet."""
    before = {"team_id": case.team_id, "agent_id": case.agent_id}
    after = {"team_id": team.id if team else None, "agent_id": agent.id if agent else None}
    if before == after:
        return
    case.team_id, case.agent_id = after["team_id"], after["agent_id"]
    data = {"field": "owner", "team": team.name if team else "", "agent": agent.name if agent else ""}
    note(session, line, case, CaseStep.EDITED, by, None, **data)
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id], line.now())


async def linked(session: AsyncSession, case: Case) -> list[Conversation]:
    """The conversations of a case, the newest first."""
    query = (
        select(Conversation)
        .join(CaseConversation, col(CaseConversation.conversation_id) == col(Conversation.id))
        .where(col(CaseConversation.case_id) == case.id)
        .order_by(col(Conversation.last_message_at).desc())
    )
    return list((await session.execute(query)).scalars())
