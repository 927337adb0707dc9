"""News: cases of one incident, and what is told to everybody who has one; each person once for each piece of news."""

import logging
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.case import Case, CaseStatus, CaseStep
from socialcrm.domain.casework import ACTIVE, CannotMove
from socialcrm.domain.incident import Incident, IncidentNews, IncidentStatus, NewsTelling, TellingStatus, text_for
from socialcrm.domain.people import Agent
from socialcrm.domain.words import clean
from socialcrm.engine import tell
from socialcrm.engine.case_file import lock, lock_all, note
from socialcrm.engine.cases import resolve
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
AT_ONCE = 50
MOST_CASES = 1000
LONGEST = 1500
LONGEST_TITLE = 120


async def open_incident(
    session: AsyncSession,
    line: Line,
    title: str,
    numbers: Sequence[int],
    by: Agent,
    *,
    reason: str = "",
    place: str = "",
) -> Incident:
    """Make an incident of cases. Raises CannotMove."""
    title = clean(title).strip()[:LONGEST_TITLE]
    if not title:
        raise CannotMove("Give the incident a name.")
    cases = [case for case in await lock_all(session, numbers[:MOST_CASES]) if case.status != CaseStatus.CLOSED]
    incident = Incident(title=title, reason=reason, place=place, opened_at=line.now(), opened_by_id=by.id)
    teams = [case.team_id for case in cases if case.team_id is not None]
    incident.team_id = max(set(teams), key=teams.count) if teams else None
    session.add(incident)
    await session.flush()
    for case in cases:
        await _join(session, line, case, incident, by)
    return incident


async def join(session: AsyncSession, line: Line, incident_id: int, numbers: Sequence[int], by: Agent) -> int:
    """Let more cases belong to an incident; they get its newest news. How many joined."""
    cases = [case for case in await lock_all(session, numbers[:MOST_CASES]) if case.status != CaseStatus.CLOSED]
    incident = await locked(session, incident_id)
    if incident is None or incident.status == IncidentStatus.CLOSED:
        raise CannotMove("The incident is over: reopen it first.")
    new = [case for case in cases if case.incident_id != incident.id]
    for case in new:
        await _join(session, line, case, incident, by)
    newest = (
        select(IncidentNews).where(col(IncidentNews.incident_id) == incident.id).order_by(col(IncidentNews.id).desc())
    )
    news = (await session.execute(newest.limit(1))).scalar_one_or_none()
    if news is not None and news.is_shown_to_later:
        await _address(session, news, new)
    return len(new)


async def leave(session: AsyncSession, line: Line, case: Case, by: Agent) -> None:
    """Take a case out of its incident."""
    if case.incident_id is not None:
        note(session, line, case, CaseStep.INCIDENT, by, None, incident_id=case.incident_id, left=True)
        case.incident_id = None
        await session.flush()


async def locked(session: AsyncSession, incident_id: int) -> Incident | None:
    """An incident that nobody else changes until the session ends; after the cases, where those are locked too."""
    query = select(Incident).where(col(Incident.id) == incident_id).with_for_update(key_share=True)
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def publish(
    session: AsyncSession, line: Line, incident: Incident, texts: dict[str, str], by: Agent, *, resolves: bool = False
) -> IncidentNews:
    """Write a piece of news: a telling waits for everybody with a case that is not closed. The incident is locked.
    Raises CannotMove."""
    written = {language: clean(text).strip() for language, text in texts.items() if clean(text).strip()}
    if not written:
        raise CannotMove("Write the news in one language at least.")
    if any(len(text) > LONGEST for text in written.values()):
        raise CannotMove(f"News has at most {LONGEST} characters.")
    news = IncidentNews(incident_id=incident.id or 0, at=line.now(), agent_id=by.id, texts=written, resolves=resolves)
    session.add(news)
    await session.flush()
    mine = select(Case).where(col(Case.incident_id) == incident.id, col(Case.status) != CaseStatus.CLOSED.value)
    await _address(session, news, (await session.execute(mine.order_by(col(Case.id)))).scalars().all())
    return news


async def end(session: AsyncSession, line: Line, incident: Incident) -> None:
    """The incident is over; its cases go on by themselves."""
    incident.status, incident.closed_at = IncidentStatus.CLOSED, line.now()
    await session.flush()


async def again(session: AsyncSession, incident: Incident) -> None:
    """The incident is not over."""
    incident.status, incident.closed_at = IncidentStatus.OPEN, None
    await session.flush()


async def counts(session: AsyncSession, news: Sequence[int]) -> dict[tuple[int, str], int]:
    """How many people each piece of news was told, waits for or was not told: (news, status) -> number."""
    query = (
        select(col(NewsTelling.news_id), col(NewsTelling.status), func.count())
        .where(col(NewsTelling.news_id).in_(news))
        .group_by(col(NewsTelling.news_id), col(NewsTelling.status))
    )
    return {(number, status): count for number, status, count in (await session.execute(query)).all()}


async def spread(line: Line) -> int:
    """Tell news that wait; the outbox holds back what a channel cannot take at once. How many were taken."""
    query = select(col(NewsTelling.id)).where(col(NewsTelling.status) == "waiting").order_by(col(NewsTelling.id))
    async with line.database.read() as session:
        numbers = [number for number in (await session.execute(query.limit(AT_ONCE))).scalars() if number is not None]
    done = 0
    for number in numbers:
        try:
            async with line.database.write() as session:
                done += await _spread_one(session, line, number)
        except Exception:
            log.exception("news telling %s failed: left out", number)
            async with line.database.write() as session:
                telling = await session.get_one(NewsTelling, number, with_for_update=True)
                telling.status, telling.reason = TellingStatus.SKIPPED, "error"
            done += 1
    if done:
        line.live.ring()
    return done


async def _spread_one(session: AsyncSession, line: Line, number: int) -> int:
    found = await session.get_one(NewsTelling, number)
    case = await lock(session, found.case_id)
    query = select(NewsTelling).where(col(NewsTelling.id) == number).with_for_update(key_share=True)
    telling = (await session.execute(query.execution_options(populate_existing=True))).scalar_one()
    if telling.status != TellingStatus.WAITING or case is None:  # another process was quicker
        return 0
    if case.status == CaseStatus.CLOSED:
        telling.status, telling.reason = TellingStatus.SKIPPED, "closed"
        return 1
    news = await session.get_one(IncidentNews, telling.news_id)
    language = await tell.language_of(session, line, case)
    text = text_for(news.texts, language)
    if news.resolves and case.status in ACTIVE:
        await resolve(session, line, case, None, text=f"{text}\n\n{tell.in_words(line, language, 'case_solved', case)}")
        is_told, why = case.silent_at is not None, "" if case.silent_at else "public"
    else:
        told = await tell.tell(session, line, case, text, f"news:{telling.news_id}:{telling.contact_id}")
        note(session, line, case, CaseStep.NEWS, None, told, news_id=news.id)
        telling.message_id = told.message.id if told.message else None
        is_told, why = told.message is not None, told.untold
    telling.status, telling.reason = (TellingStatus.SENT, "") if is_told else (TellingStatus.SKIPPED, why)
    telling.told_at = line.now()
    return 1


async def _join(session: AsyncSession, line: Line, case: Case, incident: Incident, by: Agent) -> None:
    case.incident_id = incident.id
    note(session, line, case, CaseStep.INCIDENT, by, None, incident_id=incident.id, title=incident.title)
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id], line.now())


async def _address(session: AsyncSession, news: IncidentNews, cases: Sequence[Case]) -> None:
    """A telling for each person, by their newest case."""
    query = select(col(NewsTelling.contact_id)).where(col(NewsTelling.news_id) == news.id)
    known = set((await session.execute(query)).scalars())
    newest = {case.contact_id: case.id for case in cases if case.contact_id not in known}
    rows = [{"news_id": news.id, "contact_id": contact, "case_id": number} for contact, number in newest.items()]
    await insert_rows(session, NewsTelling, rows)
