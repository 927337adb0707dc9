"""Pages of working hours: what is typed becomes a calendar, or a sentence that says what is wrong."""

import ast
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import FormData

from socialcrm.domain import calendar as calendar_module
from socialcrm.domain import hours, icalendar, sla
from socialcrm.domain.hours import read_calendar
from socialcrm.domain.rows import CalendarRow, Conversation, TeamCalendar
from socialcrm.engine import calendars
from socialcrm.engine.line import Line
from socialcrm.web.hours_form import SENTENCES, form_of, read_form
from tests.engine.scripted import on_one_database
from tests.sessions import CSRF
from tests.story import Clock, Story, line_with
from tests.web.desk import Desk, desk

FRIDAY = datetime(2026, 11, 20, 15, 50, tzinfo=UTC)


@pytest.fixture
async def office(line: Line) -> AsyncIterator[Desk]:
    story = await Story.begin(line_with(line, Clock(FRIDAY)))
    async with desk(story.line) as opened:
        await opened.sign_in("supervisor")
        yield opened


async def rows(line: Line) -> list[CalendarRow]:
    story = Story(line, None, None)  # type: ignore[arg-type]
    return list(await story.rows(CalendarRow))


def week(**days: str) -> dict[str, str]:
    """Fields of the week: monday="08:00-12:00"."""
    names = [day.lower() for day in hours.WEEKDAYS]
    sent = {}
    for name, text in days.items():
        for place, period in enumerate(text.split()):
            start, _, end = period.partition("-")
            sent |= {f"week-{names.index(name)}-{place}-from": start, f"week-{names.index(name)}-{place}-to": end}
    return sent


def fields(**more: str) -> dict[str, str]:
    return {"name": "Shop", "zone": "Africa/Algiers", **week(saturday="09:00-12:00 14:00-00:00"), **more}


async def test_the_calendars_of_a_fresh_installation_are_shown_and_can_be_changed(office: Desk) -> None:
    status, text = await office.get("/automation/hours")
    assert status == 200
    assert "Service client" in text
    assert "Closed now" in text, "it is a Friday"
    (default, _) = await rows(office.line)
    status, text = await office.get(f"/automation/hours/{default.id}")
    assert status == 200
    assert 'value="08:00"' in text
    assert "Ramadan" in text
    form, data = read_form({})
    shown = form_of(default.name, default.data)
    assert shown.seasons[0].is_ramadan
    assert (form.week, data["week"]) == (((),) * 7, {})


async def test_what_the_form_shows_is_what_was_kept(office: Desk) -> None:
    days = {"day-0-date": "2027-03-10", "day-0-name": "Aïd", "day-1-date": "12-31", "day-1-what": "hours"}
    days |= {"day-1-hours": "09:00-11:00", "day-2-date": "2026-11-01", "day-2-what": "usual"}
    season = {"season-0-name": "Été", "season-0-dates": "2027-07-01/2027-08-31", "season-0-5": "08:00-13:00"}
    status, text = await office.post("/automation/hours/new", fields(country="DZ", **days, **season))
    assert status == 200
    assert "Saved." in text
    row = (await rows(office.line))[-1]
    assert (row.name, row.version, row.data["week"]) == ("Shop", 1, {"saturday": ["09:00-12:00", "14:00-24:00"]})
    shown = form_of(row.name, row.data)
    sent = {"name": "Shop", "zone": shown.zone, "country": shown.country}
    for day, pairs in enumerate(shown.week):
        for place, (start, end) in enumerate(pairs):
            sent |= {f"week-{day}-{place}-from": start, f"week-{day}-{place}-to": end}
    for place, entry in enumerate(shown.days):
        sent |= {f"day-{place}-{key}": getattr(entry, key) for key in ("date", "name", "what", "hours")}
    for place, kept in enumerate(shown.seasons):
        sent |= {f"season-{place}-name": kept.name, f"season-{place}-dates": kept.dates}
        sent |= {f"season-{place}-{day}": kept.week[day] for day in range(7)}
    await office.post(f"/automation/hours/{row.id}", sent)
    again = (await rows(office.line))[-1]
    assert again.version == 1, "nothing was changed"
    assert read_calendar(again.data) == read_calendar(row.data)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"zone": "Mars/Base"}, "&#34;Mars/Base&#34; is no time zone: give one like Africa/Algiers."),
        ({"week-5-1-from": "10:00"}, "Saturday: the periods 09:00-12:00 and 10:00-24:00 overlap."),
        ({"week-5-1-to": ""}, "Saturday: &#34;14:00-&#34; is no period: write it like 08:00-12:00."),
        ({"name": " "}, "Give it a name."),
        ({"day-0-date": "10 March"}, "&#34;10 March&#34; is no date: write it like 2027-03-10."),
    ],
)
@on_one_database
async def test_a_calendar_that_cannot_be_stays_on_the_page_with_the_reason(
    office: Desk, more: dict[str, str], sentence: str
) -> None:
    status, text = await office.post("/automation/hours/new", fields(**more))
    assert status == 422
    assert sentence in text
    assert "Nothing was changed." in text
    assert 'value="09:00"' in text, "what was typed is still there"
    assert await rows(office.line) == []


@on_one_database
async def test_the_preview_says_when_a_promise_is_due(office: Desk) -> None:
    sent = {"csrf_token": CSRF, **week(thursday="08:00-17:00", sunday="08:00-17:00"), "zone": "Africa/Algiers"}
    sent |= {"name": "Shop", "at": "2026-11-19T16:50", "length": "2", "unit": "hours"}
    answer = await office.ask("POST", "/automation/hours/preview", data=sent, headers={"HX-Request": "true"})
    text = " ".join(re.sub("<[^>]+>", "", await answer.text()).split())
    assert "A message of Thursday 19 November 2026, 16:50 with 2 hrs is due on Sunday 22 November 2026, 09:50." in text
    sent["at"] = "2026-11-20T16:50"
    page = await office.ask("POST", "/automation/hours/preview", data=sent)
    assert "You are closed when it comes; the clock starts on Sunday 22 November 2026, 08:00." in await page.text()
    sent["length"] = "-1"
    assert (await office.ask("POST", "/automation/hours/preview", data=sent)).status == 422


@on_one_database
async def test_a_file_of_days_off_is_read_or_its_bad_line_named(office: Desk) -> None:
    await office.get("/automation/hours")
    (row, _) = await rows(office.line)

    async def send(content: bytes) -> tuple[int, str]:
        form = FormData()
        form.add_field("csrf_token", CSRF)
        form.add_field("file", content, filename="holidays.csv", content_type="text/csv")
        answer = await office.ask("POST", f"/automation/hours/{row.id}/file", data=form, allow_redirects=True)
        return answer.status, await answer.text()

    status, text = await send("2027-03-10;Aïd el-Fitr\n2027-03-11;Aïd el-Fitr\n".encode("cp1252"))
    assert status == 200
    assert "2 days off were read from the file." in text
    assert "Aïd el-Fitr" in text
    status, text = await send(b"2027-03-10;Eid\nsoon;Never\n")
    assert status == 422
    assert "Line 2 of the file" in text
    status, _ = await send(b"\x00\xff" * 400_000)
    assert status == 422
    assert len((await rows(office.line))[0].data["days"]) == 2


async def test_a_team_gets_its_calendar_and_an_earlier_version_comes_back(office: Desk) -> None:
    await office.get("/automation/hours")
    (row, always) = await rows(office.line)
    story = Story(office.line, None, None)  # type: ignore[arg-type]
    team = (await story.rows(Conversation)) or 1
    await office.post(f"/automation/hours/{row.id}", {**fields(), "team": str(team)})
    assert [(t.team_id, t.calendar_id) for t in await story.rows(TeamCalendar)] == [(1, row.id)]
    status, text = await office.post(f"/automation/hours/{row.id}/versions/1")
    assert status == 200
    assert "Version 3" in text
    assert (await rows(office.line))[0].name == "Service client"
    status, text = await office.post(f"/automation/hours/{always.id}/remove")
    assert "was taken away" in text
    status, text = await office.post(f"/automation/hours/{always.id}/restore")
    assert "24/7" in text
    status, _ = await office.post(f"/automation/hours/{row.id}/remove")
    assert status == 409
    await office.post(f"/automation/hours/{always.id}/default")
    async with office.line.database.read() as session:
        assert (await calendars.calendar_for(session, office.line, None)).is_open(FRIDAY)


@on_one_database
async def test_agents_do_not_change_hours(line: Line) -> None:
    async with desk(line) as opened:
        await opened.sign_in("agent")
        assert (await opened.get("/automation/hours"))[0] == 403
        assert (await opened.post("/automation/hours/new", fields()))[0] == 403


def test_every_reason_to_refuse_a_calendar_or_a_promise_can_be_translated() -> None:
    said = set()
    for module in (calendar_module, hours, icalendar, sla, calendars):
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CalendarError":
                assert isinstance(node.args[0], ast.Constant)
                said.add(node.args[0].value)
    assert said == set(SENTENCES)
