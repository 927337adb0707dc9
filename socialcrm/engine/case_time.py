"""Case time: until when a complaint should be solved, in the working hours of the department that owns it."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.calendar import Calendar
from socialcrm.domain.case import Case
from socialcrm.domain.casework import plan
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.line import Line

LEAST = timedelta(minutes=1)


def promise(line: Line, calendar: Calendar, case: Case) -> None:
    """Set the due time of a case that begins now, and when to look at it before."""
    length = timedelta(hours=line.settings.cases.hours(case.severity))
    case.due_at = case.promised_at = calendar.add_working(case.opened_at, length)
    _look_before(line, calendar, case, case.opened_at)


async def hurry(session: AsyncSession, line: Line, case: Case, share: float = 1.0) -> None:
    """Bring the due time forward to `share` of the time that its severity has from now; never push it back."""
    calendar = await calendar_for(session, line, case.team_id)
    length = timedelta(hours=line.settings.cases.hours(case.severity)) * share
    case.due_at = min(case.due_at, calendar.add_working(line.now(), length))
    _look_before(line, calendar, case, line.now())


async def restart(session: AsyncSession, line: Line, case: Case, share: float = 1.0) -> None:
    """Give a reopened case `share` of the time that its severity has, from now."""
    calendar = await calendar_for(session, line, case.team_id)
    length = timedelta(hours=line.settings.cases.hours(case.severity)) * share
    case.due_at = calendar.add_working(line.now(), length)
    _look_before(line, calendar, case, line.now())


async def later(session: AsyncSession, line: Line, case: Case) -> datetime:
    """The due time that a delay would bring: half of the time that its severity has, after the due time or now."""
    calendar = await calendar_for(session, line, case.team_id)
    length = timedelta(hours=line.settings.cases.hours(case.severity)) / 2
    return calendar.add_working(max(case.due_at, line.now()), length)


async def put_off(session: AsyncSession, line: Line, case: Case, due_at: datetime) -> None:
    """Set another due time."""
    calendar = await calendar_for(session, line, case.team_id)
    case.due_at = due_at
    _look_before(line, calendar, case, line.now())


async def pause(session: AsyncSession, line: Line, case: Case) -> None:
    """Stop the clock while the case waits for its customer."""
    case.paused_at = line.now()
    case.warn_at = case.notice_at = None
    plan(case)


async def go_on(session: AsyncSession, line: Line, case: Case) -> None:
    """Let the clock go on: what was left of the time when it stopped is left now."""
    if case.paused_at is None:
        return
    calendar = await calendar_for(session, line, case.team_id)
    left = calendar.working_between(case.paused_at, case.due_at)
    case.paused_at, case.due_at = None, calendar.add_working(line.now(), max(left, LEAST))
    _look_before(line, calendar, case, line.now())


def _look_before(line: Line, calendar: Calendar, case: Case, start: datetime) -> None:
    """When the owner is reminded and the customer told, as shares of the working time from `start` to the due time.
    What would lie in the past is left out: nobody is warned of what they have just decided."""
    settings, whole = line.settings.cases, calendar.working_between(start, case.due_at)
    case.warn_at = calendar.add_working(start, whole * settings.warn_percent / 100) if whole else None
    case.notice_at = calendar.add_working(start, whole * settings.notice_percent / 100) if whole else None
    plan(case)
