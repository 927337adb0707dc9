"""The form of a calendar: from what is kept to its fields, and from its fields to what is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web
from babel import Locale

from socialcrm.domain.calendar import DAY, Calendar, CalendarError, Hours
from socialcrm.domain.days_off import countries, public_holidays
from socialcrm.domain.hours import WEEKDAYS, read_day, read_periods, written
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.words import N_

DAYS = (
    N_("Monday"),
    N_("Tuesday"),
    N_("Wednesday"),
    N_("Thursday"),
    N_("Friday"),
    N_("Saturday"),
    N_("Sunday"),
)
PAIRS = 3
"""Pairs of times that a day shows at least."""
BLANK_DAYS = 2
MOST = 400
"""Rows of a form that are read."""
SENTENCES = (
    N_('"%(key)s" is no part of a calendar.'),
    N_("No public holidays are known of the country %(country)s."),
    N_("%(date)s is there twice among the days off."),
    N_("The calendar has no open hour at all: give at least one day a period."),
    N_('"%(zone)s" is no time zone: give one like Africa/Algiers.'),
    N_("The week should name weekdays with their periods."),
    N_('"%(day)s" is no weekday: write monday, tuesday and so on.'),
    N_("%(day)s: the periods %(one)s and %(other)s overlap."),
    N_("%(day)s: periods are written like 08:00-12:00."),
    N_("%(day)s: a day has at most %(most)s periods."),
    N_("A day off has a date, a name, and perhaps hours."),
    N_('Line %(line)s of the file, "%(text)s": a day off is written like 2027-03-10;Name or 12-31;Name.'),
    N_("The file has %(count)s days off; at most %(most)s fit."),
    N_("The event that ends on line %(line)s of the file has no date."),
    N_("The event that ends on line %(line)s of the file is too long."),
    N_("%(dates)s ends before it starts."),
    N_("A season has a name, a week, and dates or ramadan."),
    N_("The season %(name)s never comes: give it dates."),
    N_("The season %(name)s has no open hour at all: enter it as days off instead."),
    N_("The season %(name)s has dates that overlap."),
    N_('%(day)s: "%(text)s" is no period: write it like 08:00-12:00.'),
    N_('%(day)s: "%(text)s" is no time of a day.'),
    N_("%(day)s: the period %(text)s ends when it starts."),
    N_("%(day)s: the period %(text)s ends before it starts."),
    N_('"%(text)s" is no date: write it like 2027-03-10.'),
    N_("%(text)s is too far from today for a calendar."),
    N_("%(name)s should be a list of at most %(most)s entries."),
    N_("So much working time never passes in this calendar."),
    N_("Give it a name."),
    N_('"%(key)s" is no part of a policy.'),
    N_("%(key)s: there is no %(value)s; there are %(known)s."),
    N_('"%(key)s" is nothing that can be promised.'),
    N_("A promise takes more than no time: it is %(minutes)s minutes."),
    N_("A promise of more than %(days)s days is none."),
    N_("The policy promises nothing: give at least one of the three times."),
    N_("A ladder has at most %(most)s steps."),
    N_("A step of the ladder comes at 1 to %(most)s percent of the time."),
    N_("A step of the ladder tells one of %(known)s."),
    N_('A step by e-mail needs addresses with commas between; it has "%(to)s".'),
    N_("A step by webhook needs the name of one of the webhooks."),
)
"""Everything that a calendar or a policy can be refused with."""


def refused(request: web.Request, error: CalendarError) -> str:
    """Why a calendar or policy cannot be kept, in the language of the screen."""
    spoken = translations(language(request)).gettext
    values = {key: spoken(value) if value in WEEKDAYS else value for key, value in error.values.items()}
    return say(request, error.sentence, **values)


@dataclass(frozen=True)
class DayRow:
    """One of our own days off, as the form shows it."""

    date: str = ""
    name: str = ""
    what: str = "closed"
    """closed, hours or usual."""
    hours: str = ""


@dataclass(frozen=True)
class SeasonRow:
    """One season, as the form shows it."""

    name: str = ""
    is_ramadan: bool = False
    dates: str = ""
    week: tuple[str, ...] = ("",) * 7


@dataclass(frozen=True)
class CalendarForm:
    """What the fields of the page hold."""

    name: str = ""
    zone: str = ""
    country: str = ""
    week: tuple[tuple[tuple[str, str], ...], ...] = ((),) * 7
    days: tuple[DayRow, ...] = ()
    seasons: tuple[SeasonRow, ...] = ()
    teams: frozenset[int] = field(default_factory=frozenset)

    @property
    def pairs(self) -> int:
        """How many pairs of times each day shows: one more than are used."""
        return max(PAIRS, *(len(day) + 1 for day in self.week))

    def period(self, day: int, place: int) -> tuple[str, str]:
        """The pair of times of a day, or an empty one."""
        return self.week[day][place] if place < len(self.week[day]) else ("", "")


def form_of(name: str, data: Mapping[str, Any], teams: frozenset[int] = frozenset()) -> CalendarForm:
    """The fields for what is kept."""
    week = {str(key).capitalize(): value for key, value in data.get("week", {}).items()}
    return CalendarForm(
        name,
        str(data.get("zone", "")),
        str(data.get("country", "")),
        tuple(tuple(_pair(h) for h in read_periods(week.get(day, ()), day)) for day in WEEKDAYS),
        tuple(_day_row(entry) for entry in sorted(data.get("days", ()), key=lambda entry: str(entry.get("date")))),
        tuple(_season_row(entry) for entry in data.get("seasons", ())),
        teams,
    )


def read_form(sent: Mapping[str, str]) -> tuple[CalendarForm, dict[str, Any]]:
    """What was typed, to be shown again if it is refused, and as it would be kept."""
    week: list[tuple[tuple[str, str], ...]] = []
    for day in range(7):
        pairs = [(sent.get(f"week-{day}-{n}-from", ""), sent.get(f"week-{day}-{n}-to", "")) for n in range(MOST)]
        week.append(tuple(pair for pair in pairs if any(pair)))
    days = tuple(
        DayRow(
            sent.get(f"day-{n}-date", "").strip(),
            sent.get(f"day-{n}-name", "").strip(),
            sent.get(f"day-{n}-what", "closed"),
            sent.get(f"day-{n}-hours", "").strip(),
        )
        for n in range(MOST)
        if sent.get(f"day-{n}-date", "").strip() or sent.get(f"day-{n}-name", "").strip()
    )
    seasons = tuple(
        SeasonRow(
            sent.get(f"season-{n}-name", "").strip(),
            sent.get(f"season-{n}-ramadan") == "yes",
            sent.get(f"season-{n}-dates", "").strip(),
            tuple(sent.get(f"season-{n}-{day}", "").strip() for day in range(7)),
        )
        for n in range(50)
        if sent.get(f"season-{n}-name", "").strip()
    )
    form = CalendarForm(
        sent.get("name", "").strip(), sent.get("zone", "").strip(), sent.get("country", ""), tuple(week), days, seasons
    )
    return form, _data(form)


def _data(form: CalendarForm) -> dict[str, Any]:
    week = {
        WEEKDAYS[day].lower(): [f"{start}-{'24:00' if end == '00:00' else end}" for start, end in pairs]
        for day, pairs in enumerate(form.week)
        if pairs
    }
    data: dict[str, Any] = {"zone": form.zone, "week": week}
    if form.country:
        data["country"] = form.country
    if form.days:
        data["days"] = [_day_entry(row) for row in sorted(form.days, key=lambda row: row.date)]
    if form.seasons:
        data["seasons"] = [
            {
                "name": row.name,
                **({"ramadan": True} if row.is_ramadan else {}),
                "dates": [part.strip() for part in row.dates.replace(";", ",").split(",") if part.strip()],
                "week": {WEEKDAYS[day].lower(): text for day, text in enumerate(row.week) if text},
            }
            for row in form.seasons
        ]
    return data


def _day_entry(row: DayRow) -> dict[str, Any]:
    entry: dict[str, Any] = {"date": row.date, "name": row.name}
    if row.what == "usual":
        entry["usual"] = True
    elif row.what == "hours":
        entry["hours"] = row.hours
    return entry


def _day_row(entry: Mapping[str, Any]) -> DayRow:
    _, off = read_day(entry)
    what = "usual" if off.hours is None else "hours" if off.hours else "closed"
    return DayRow(str(entry["date"]), off.name, what, ", ".join(written(h) for h in off.hours or ()))


def _season_row(entry: Mapping[str, Any]) -> SeasonRow:
    week = {str(key).capitalize(): value for key, value in entry.get("week", {}).items()}
    return SeasonRow(
        str(entry.get("name", "")),
        entry.get("ramadan") is True,
        ", ".join(entry.get("dates", ())),
        tuple(", ".join(written(h) for h in read_periods(week.get(day, ()), day)) for day in WEEKDAYS),
    )


def _pair(hours: Hours) -> tuple[str, str]:
    start, _, end = written(hours).partition("-")
    return start, "00:00" if end == "24:00" else end


@dataclass(frozen=True)
class Ahead:
    """A day that is not like others, or the start of a season, in the months ahead."""

    day: date
    name: str
    kind: str
    """own, public or season."""
    hours: str = ""
    until: date | None = None


def ahead(calendar: Calendar, today: date, screen: str, months: int = 12) -> list[Ahead]:
    """What the months ahead bring, in order; public holidays in the language of the screen."""
    last = today + timedelta(days=months * 30)
    found: list[Ahead] = []
    day = today
    while day <= last:
        off = calendar.day_off(day)
        if off is not None:
            is_own = day in calendar.days or (day.month, day.day) in calendar.yearly
            names = public_holidays(calendar.country, day.year, _holiday_language(screen))
            name = off.name if is_own else names.get(day, off.name)
            shown = ", ".join(written(h) for h in off.hours or ())
            found.append(Ahead(day, name, "own" if is_own else "public", shown))
        day += timedelta(days=1)
    for season in calendar.seasons:
        spans = {span for year in (today.year, last.year) for span in season.spans_of(year)}
        found += [Ahead(a, season.name, "season", "", b) for a, b in spans if b >= today and a <= last]
    return sorted(found, key=lambda item: item.day)


def bars(calendar: Calendar) -> list[list[tuple[int, int]]]:
    """The open stretches of each weekday in minutes, for the drawing: a night also shows on the day that it ends on."""
    drawn: list[list[tuple[int, int]]] = [[] for _ in range(7)]
    for day, periods in enumerate(calendar.week):
        for h in periods:
            drawn[day].append((h.opens, min(h.closes, DAY) - h.opens))
            if h.closes > DAY:
                drawn[(day + 1) % 7].append((0, h.closes - DAY))
    return drawn


def country_names(screen: str) -> list[tuple[str, str]]:
    """The countries whose holidays are known, by their names in the language of the screen."""
    names = Locale(screen).territories
    return sorted(((code, str(names.get(code, code))) for code in countries()), key=lambda pair: pair[1].casefold())


def first_weekday(screen: str) -> list[int]:
    """The numbers of the weekdays in the order in which the week runs: in Algeria from Sunday."""
    first = 6 if screen == "ar" else 0
    return [(first + n) % 7 for n in range(7)]


def read_at(text: str, calendar: Calendar) -> datetime:
    """A local time as a browser sends it, 2026-11-20T16:50; raises CalendarError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CalendarError('"%(text)s" is no date: write it like 2027-03-10.', text=text) from None
    if not 1990 <= at.year <= 2150:
        raise CalendarError("%(text)s is too far from today for a calendar.", text=text)
    return at.replace(tzinfo=calendar.zone) if at.tzinfo is None else at


def _holiday_language(screen: str) -> str:
    return {"en": "en_US"}.get(screen, screen)
