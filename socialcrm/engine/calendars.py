"""Calendars and policies: from the files of a fresh installation into rows, and from rows to what is used."""

import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.calendar import Calendar, CalendarError
from socialcrm.domain.engagement import EngagementError
from socialcrm.domain.hours import read_calendar
from socialcrm.domain.people import Agent
from socialcrm.domain.sla import CalendarRow, Edition, Policy, SlaPolicy, TeamCalendar, read_policy
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
LOCK = 0x50C1A3
_read: dict[tuple[int, int, str], Calendar] = {}
"""Calendars by number, version and database: the periods of years that were computed are kept with them."""


@dataclass(frozen=True)
class Book:
    """All calendars and policies as they are now."""

    calendars: Mapping[int, Calendar]
    default: int | None
    of_team: Mapping[int, int]
    policies: Sequence[Policy]

    def number_for(self, team_id: int | None) -> int | None:
        """The number of the calendar of a team."""
        return self.of_team.get(team_id or 0, self.default)


async def calendar_for(session: AsyncSession, line: Line, team_id: int | None) -> Calendar:
    """The working hours of a team, or of whoever has no team: its own calendar, else the default one."""
    query = select(CalendarRow).where(col(CalendarRow.removed_at).is_(None))
    if team_id is not None:
        own = select(col(TeamCalendar.calendar_id)).where(col(TeamCalendar.team_id) == team_id)
        row = (await session.execute(query.where(col(CalendarRow.id).in_(own)))).scalar_one_or_none()
        if row is not None:
            return read(line, row)
    row = (await session.execute(query.where(col(CalendarRow.is_default)).limit(1))).scalar_one_or_none()
    if row is not None:
        return read(line, row)
    file = _files(line)[0]
    return _of_file(file, file.stat().st_mtime_ns if file.exists() else 0)


async def book(session: AsyncSession, line: Line) -> Book:
    """Everything that due times are computed with."""
    rows = (await session.execute(select(CalendarRow).where(col(CalendarRow.removed_at).is_(None)))).scalars().all()
    teams = (await session.execute(select(TeamCalendar))).scalars().all()
    query = (
        select(SlaPolicy)
        .where(col(SlaPolicy.is_on), col(SlaPolicy.removed_at).is_(None))
        .order_by(col(SlaPolicy.place), col(SlaPolicy.id))
    )
    policies = (await session.execute(query)).scalars().all()
    return Book(
        {row.id or 0: read(line, row) for row in rows},
        next((row.id for row in rows if row.is_default), None),
        {team.team_id: team.calendar_id for team in teams if team.calendar_id in {row.id for row in rows}},
        [read_policy(policy.id or 0, policy.name, policy.data) for policy in policies],
    )


def read(line: Line, row: CalendarRow) -> Calendar:
    """The calendar of a row; one that was read before is not read again."""
    key = (row.id or 0, row.version, str(line.database.url))
    if key not in _read:
        if len(_read) > 500:
            _read.clear()
        _read[key] = read_calendar(row.data)
    return _read[key]


async def seed(session: AsyncSession, line: Line) -> None:
    """Copy the files of a fresh installation into rows, where there are none yet."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    if (await session.execute(select(col(CalendarRow.id)).limit(1))).first() is not None:
        return
    numbers: dict[str, int] = {}
    for place, (key, name, data) in enumerate(_calendars(_files(line)[0])):
        row = CalendarRow(key=key, name=name, data=data, is_default=place == 0, changed_at=line.now())
        session.add(row)
        await session.flush()
        numbers[key] = row.id or 0
        session.add(_edition("calendar", row, None))
    for place, (name, data) in enumerate(_policies(line, numbers)):
        policy = SlaPolicy(name=name, place=place, data=data, changed_at=line.now())
        session.add(policy)
        await session.flush()
        session.add(_edition("policy", policy, None))
    log.info("calendars and promises were read from %s and %s", *_files(line))


async def save(
    session: AsyncSession, line: Line, row: CalendarRow | SlaPolicy, name: str, data: dict[str, Any], by: Agent | None
) -> None:
    """Write a new version of a calendar or policy, a new one included; raises CalendarError before anything changes."""
    kind = "calendar" if isinstance(row, CalendarRow) else "policy"
    if not name.strip():
        raise CalendarError("Give it a name.")
    if kind == "calendar":
        read_calendar(data)
    else:
        read_policy(row.id or 0, name, data)
    is_new = row.id is None
    if not is_new and (row.name, row.data) == (name.strip(), data):
        return
    row.name, row.data, row.changed_at = name.strip()[:80], data, line.now()
    row.version = 1 if is_new else row.version + 1
    session.add(row)
    await session.flush()
    session.add(_edition(kind, row, by))
    await session.flush()


async def editions(session: AsyncSession, kind: str, number: int) -> Sequence[tuple[Edition, str | None]]:
    """The versions of a calendar or policy with the names of who wrote them, newest first."""
    query = (
        select(Edition, col(Agent.name))
        .outerjoin(Agent, col(Agent.id) == col(Edition.agent_id))
        .where(col(Edition.kind) == kind, col(Edition.row_id) == number)
        .order_by(col(Edition.version).desc())
        .limit(50)
    )
    return [(row[0], row[1]) for row in (await session.execute(query)).all()]


def _edition(kind: str, row: CalendarRow | SlaPolicy, by: Agent | None) -> Edition:
    return Edition(
        kind=kind,
        row_id=row.id or 0,
        version=row.version,
        name=row.name,
        data=row.data,
        agent_id=by.id if by else None,
        at=row.changed_at,
    )


def _files(line: Line) -> tuple[Path, Path]:
    return line.settings.sla.calendars, line.settings.sla.policies


@lru_cache(maxsize=8)
def _of_file(file: Path, _changed: int) -> Calendar:
    """The first calendar of a file: what holds until the rows are there."""
    return read_calendar(_calendars(file)[0][2])


def _calendars(file: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Key, name and data of the calendars of a fresh installation; raises EngagementError."""
    found = []
    for number, entry in enumerate(_toml(file).get("calendars", []), 1):
        data = {key: value for key, value in entry.items() if key not in ("key", "name")}
        try:
            read_calendar(data)
        except CalendarError as error:
            raise EngagementError(f"{file}, calendar {number}: {error}") from error
        found.append((str(entry.get("key", f"calendar-{number}")), str(entry.get("name", number)), data))
    if not found:
        raise EngagementError(f"{file} has no calendar: add at least one.")
    return found


def _policies(line: Line, calendars: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of the policies of a fresh installation; raises EngagementError."""
    file = _files(line)[1]
    found = []
    for number, entry in enumerate(_toml(file).get("policies", []), 1):
        data = {key: value for key, value in entry.items() if key not in ("name", "calendar")}
        if key := entry.get("calendar"):
            if key not in calendars:
                raise EngagementError(f"{file}, policy {number}: there is no calendar {key!r}.")
            data["calendar_id"] = calendars[key]
        try:
            read_policy(0, str(entry.get("name", "")), data)
        except CalendarError as error:
            raise EngagementError(f"{file}, policy {number}: {error}") from error
        found.append((str(entry.get("name", number)), data))
    return found


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngagementError(f"{file} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EngagementError(f"{file} is not valid TOML: {error}.") from error
