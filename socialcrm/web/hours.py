"""Working hours: calendars, who works by which, and what a promise made by one of them comes to."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from aiohttp import web
from babel.dates import format_datetime
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.calendar import Calendar, CalendarError
from socialcrm.domain.conversation import Conversation, ConversationStatus
from socialcrm.domain.hours import read_calendar, read_days
from socialcrm.domain.people import Role, Team
from socialcrm.domain.sla import CalendarRow, TeamCalendar
from socialcrm.engine import calendars, promises
from socialcrm.secrets import new_token
from socialcrm.web.guard import needs
from socialcrm.web.headlines import wait
from socialcrm.web.hours_form import (
    BLANK_DAYS,
    DAYS,
    CalendarForm,
    ahead,
    bars,
    country_names,
    first_weekday,
    form_of,
    read_at,
    read_form,
    refused,
)
from socialcrm.web.i18n import Formats, language, say
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_

routes = web.RouteTableDef()

MAY = (Role.SUPERVISOR, Role.ADMIN)
MONTHS = 12
FILE_BYTES = 500_000
PAST = (30, 90, 365)
"""Days for which promises that ended can be computed anew."""


@routes.get("/automation/hours", name="hours")
@needs(*MAY)
async def hours(request: web.Request) -> web.Response:
    """All calendars."""
    line = request.app[LINE]
    await _seed(request)
    async with line.database.read() as session:
        rows = await _rows(session)
        names = await _team_names(session)
        users: dict[int, list[str]] = {}
        for team in (await session.execute(select(TeamCalendar))).scalars():
            users.setdefault(team.calendar_id, []).append(names.get(team.team_id, ""))
        waiting = await promises.missing(session)
        gone = await _gone(session, request)
    known = [(row, calendars.read(line, row)) for row in rows]
    return await page(
        request,
        "hours/hours.html",
        nav="automation",
        calendars=known,
        users=users,
        waiting=waiting,
        gone=gone,
        days=DAYS,
        order=first_weekday(language(request)),
        bars=bars,
    )


@routes.get("/automation/hours/new", name="hours_new")
@needs(*MAY)
async def new(request: web.Request) -> web.Response:
    """An empty calendar, with the zone of the company and an ordinary week."""
    week = {day: ["08:00-12:00", "13:00-17:00"] for day in ("sunday", "monday", "tuesday", "wednesday", "thursday")}
    data = {"zone": request.app[LINE].settings.engagement.time_zone, "week": week}
    return await _editor(request, None, form_of("", data), read_calendar(data))


@routes.get(r"/automation/hours/{id:\d{1,18}}", name="hours_calendar")
@needs(*MAY)
async def calendar(request: web.Request) -> web.Response:
    """One calendar, to be changed."""
    line = request.app[LINE]
    async with line.database.read() as session:
        row = await _row(session, request)
        teams = select(col(TeamCalendar.team_id)).where(col(TeamCalendar.calendar_id) == row.id)
        used = frozenset((await session.execute(teams)).scalars())
    return await _editor(request, row, form_of(row.name, row.data, used), calendars.read(line, row))


@routes.post("/automation/hours/new")
@routes.post(r"/automation/hours/{id:\d{1,18}}")
@needs(*MAY)
async def save(request: web.Request) -> web.StreamResponse:
    """Keep a calendar; what cannot be is refused with the reason, and stays on the page."""
    line = request.app[LINE]
    sent, teams = await _sent(request)
    form, data = read_form(sent)
    form = CalendarForm(form.name, form.zone, form.country, form.week, form.days, form.seasons, frozenset(teams))
    is_new = "id" not in request.match_info
    async with line.database.write() as session:
        row = CalendarRow(key=new_token(), name="", changed_at=line.now()) if is_new else await _row(session, request)
        try:
            await calendars.save(session, line, row, form.name, data, request[AGENT])
        except CalendarError as error:
            known = None if is_new else row
            return await _editor(request, known, form, None, status=422, error=refused(request, error))
        await _give(session, row, teams)
        count = await _mark(session, request, sent)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/hours/{row.id}?saved={count}")


@routes.post("/automation/hours/preview", name="hours_preview")
@needs(*MAY)
async def preview(request: web.Request) -> web.Response:
    """When a promise would be due by the calendar as it stands in the form, saved or not."""
    sent, _ = await _sent(request)
    _, data = read_form(sent)
    values: dict[str, Any] = {"due": None, "error": ""}
    try:
        known = read_calendar(data)
        start = read_at(sent.get("at", ""), known)
        minutes = _whole(sent.get("length", "")) * (60 if sent.get("unit") == "hours" else 1)
        values["due"] = known.add_working(start, timedelta(minutes=minutes))
        formats = Formats(language(request), known.zone.key)
        values |= {
            "start": start,
            "opens": known.next_opening(start),
            "length": wait(minutes * 60, formats),
            "local": lambda at: format_datetime(at, "EEEE d MMMM y, HH:mm", tzinfo=known.zone, locale=formats.locale),
        }
    except CalendarError as error:
        values["error"] = refused(request, error)
    is_part = "HX-Request" in request.headers
    template = "hours/_due.html" if is_part else "hours/preview.html"
    return await page(request, template, 422 if values["error"] and not is_part else 200, nav="automation", **values)


@routes.post(r"/automation/hours/{id:\d{1,18}}/file", name="hours_file")
@needs(*MAY)
async def take_file(request: web.Request) -> web.StreamResponse:
    """Add the days off in a file, or say which line is none."""
    line = request.app[LINE]
    posted = await request.post()
    upload = posted.get("file")
    if not isinstance(upload, web.FileField):
        raise web.HTTPUnprocessableEntity(text=say(request, N_("Choose a file with days off first.")))
    raw = upload.file.read(FILE_BYTES + 1)
    async with line.database.write() as session:
        row = await _row(session, request)
        try:
            if len(raw) > FILE_BYTES:
                raise CalendarError("The file has %(count)s days off; at most %(most)s fit.", count="?", most=1000)
            days = read_days(_text(raw))
            kept = {str(entry["date"]): entry for entry in row.data.get("days", ())}
            kept |= {str(entry["date"]): entry for entry in days}
            data = {**row.data, "days": [kept[key] for key in sorted(kept)]}
            await calendars.save(session, line, row, row.name, data, request[AGENT])
        except CalendarError as error:
            form = form_of(row.name, row.data)
            return await _editor(
                request, row, form, calendars.read(line, row), status=422, error=refused(request, error)
            )
        await promises.mark(session)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/hours/{row.id}?added={len(days)}#days")


@routes.post(r"/automation/hours/{id:\d{1,18}}/{deed:default|remove|restore}", name="hours_deed")
@needs(*MAY)
async def deed(request: web.Request) -> web.StreamResponse:
    """Make a calendar everybody's, take it away, or bring it back."""
    line, wanted = request.app[LINE], request.match_info["deed"]
    async with line.database.write() as session:
        row = await _row(session, request, with_removed=wanted == "restore")
        if wanted == "default":
            for other in await _rows(session):
                other.is_default = other.id == row.id
        elif wanted == "restore":
            row.removed_at = None
        elif row.is_default:
            sentence = N_("This calendar is everybody's: make another one the usual one first.")
            raise web.HTTPConflict(text=say(request, sentence))
        else:
            row.removed_at = line.now()
        await session.flush()
        await promises.mark(session)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/hours?removed={row.id}" if wanted == "remove" else "/automation/hours")


@routes.post(r"/automation/hours/{id:\d{1,18}}/versions/{version:\d{1,9}}", name="hours_version")
@needs(*MAY)
async def bring_back(request: web.Request) -> web.StreamResponse:
    """Put an earlier version in force again, as a new one."""
    line = request.app[LINE]
    async with line.database.write() as session:
        row = await _row(session, request)
        wanted = int(request.match_info["version"])
        found = [e for e, _ in await calendars.editions(session, "calendar", row.id or 0) if e.version == wanted]
        if not found:
            raise web.HTTPNotFound
        await calendars.save(session, line, row, found[0].name, found[0].data, request[AGENT])
        await promises.mark(session)
        count = await promises.missing(session)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/hours/{row.id}?saved={count}")


async def _editor(
    request: web.Request,
    row: CalendarRow | None,
    form: CalendarForm,
    known: Calendar | None,
    status: int = 200,
    error: str = "",
) -> web.Response:
    line, screen = request.app[LINE], language(request)
    async with line.database.read() as session:
        teams = (await session.execute(select(Team).order_by(col(Team.name)))).scalars().all()
        versions = await calendars.editions(session, "calendar", row.id or 0) if row else ()
        open_count = await _open_count(session)
    today = line.now().astimezone(known.zone).date() if known else line.now().date()
    return await page(
        request,
        "hours/calendar.html",
        status,
        nav="automation",
        row=row,
        form=form,
        calendar=known,
        error=error,
        days=DAYS,
        order=first_weekday(screen),
        bars=bars(known) if known else None,
        blank_days=BLANK_DAYS,
        zones=sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/"))),
        countries=country_names(screen),
        teams=teams,
        ahead=ahead(known, today, screen, MONTHS) if known else (),
        versions=versions,
        open_count=open_count,
        past=PAST,
        saved=_count(request, "saved"),
        added=_count(request, "added"),
        local_now=line.now().astimezone(known.zone if known else None).strftime("%Y-%m-%dT%H:%M"),
    )


async def _seed(request: web.Request) -> None:
    """A page that is looked at before the first step ran shows what that step will find."""
    line = request.app[LINE]
    async with line.database.read() as session:
        has_rows = (await session.execute(select(col(CalendarRow.id)).limit(1))).first() is not None
    if not has_rows:
        async with line.database.write() as session:
            await calendars.seed(session, line)


async def _rows(session: AsyncSession) -> list[CalendarRow]:
    query = select(CalendarRow).where(col(CalendarRow.removed_at).is_(None)).order_by(col(CalendarRow.id))
    return list((await session.execute(query)).scalars())


async def _row(session: AsyncSession, request: web.Request, *, with_removed: bool = False) -> CalendarRow:
    row = await session.get(CalendarRow, int(request.match_info["id"]), with_for_update={"key_share": True})
    if row is None or (row.removed_at is not None and not with_removed):
        raise web.HTTPNotFound(text=say(request, N_("There is no such calendar any more.")))
    return row


async def _gone(session: AsyncSession, request: web.Request) -> CalendarRow | None:
    """The calendar that was just taken away, to be brought back."""
    number = _count(request, "removed")
    row = await session.get(CalendarRow, number) if number else None
    return row if row and row.removed_at else None


async def _team_names(session: AsyncSession) -> dict[int, str]:
    return {team.id or 0: team.name for team in (await session.execute(select(Team))).scalars()}


async def _give(session: AsyncSession, row: CalendarRow, teams: list[int]) -> None:
    """Let these teams, and no others, work by a calendar; one that is gone from here works by the usual one."""
    known = set((await session.execute(select(col(Team.id)))).scalars())
    chosen = [number for number in teams if number in known]
    mine = (col(TeamCalendar.calendar_id) == row.id) | col(TeamCalendar.team_id).in_(chosen)
    await session.execute(delete(TeamCalendar).where(mine))
    session.add_all(TeamCalendar(team_id=number, calendar_id=row.id or 0) for number in chosen)
    await session.flush()


async def _mark(session: AsyncSession, request: web.Request, sent: Mapping[str, str]) -> int:
    """Have due times computed anew, of the past too where that was asked for; of how many conversations."""
    days = _count_of(sent.get("past", ""))
    since = request.app[LINE].now() - timedelta(days=days) if days in PAST else None
    await promises.mark(session, since=since)
    return await promises.missing(session)


async def _open_count(session: AsyncSession) -> int:
    query = select(func.count()).where(col(Conversation.status) != ConversationStatus.RESOLVED)
    return (await session.scalar(query)) or 0


async def _sent(request: web.Request) -> tuple[dict[str, str], list[int]]:
    posted = await request.post()
    teams = [int(str(value)) for value in posted.getall("team", []) if str(value).isdigit() and len(str(value)) < 19]
    return {key: value for key, value in posted.items() if isinstance(value, str)}, teams


def _text(raw: bytes) -> str:
    """A file as text: UTF-8, or what spreadsheets on Windows write."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise CalendarError("A promise takes more than no time: it is %(minutes)s minutes.", minutes=text or 0)
    return int(text)


def _count_of(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _count(request: web.Request, name: str) -> int | None:
    return _count_of(request.query.get(name, ""))
