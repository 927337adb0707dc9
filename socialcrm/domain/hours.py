"""Reading calendars: from what is kept or typed to a `Calendar`, or to a sentence that says what is wrong and where."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from socialcrm.domain.calendar import DAY, LAST_YEAR, Calendar, CalendarError, DayOff, Hours, Season, Week
from socialcrm.domain.days_off import FIRST_YEAR, countries
from socialcrm.domain.icalendar import days_of

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LONGEST_NIGHT = 16 * 60
"""Minutes of the longest period that passes midnight: a longer one has its two times mixed up."""
MOST_PERIODS, MOST_DAYS, MOST_SEASONS, NAME = 12, 1000, 50, 80
KEYS = ("zone", "week", "country", "days", "seasons")
_PERIOD = re.compile(r"\s*(\d{1,2})[:hH](\d{2})?\s*[-–—]\s*(\d{1,2})[:hH](\d{2})?\s*")


def read_calendar(data: Mapping[str, Any]) -> Calendar:
    """The calendar that a table like one in config/calendars.toml describes; raises CalendarError."""
    for key in data:
        if key not in KEYS:
            raise CalendarError('"%(key)s" is no part of a calendar.', key=key)
    country = str(data.get("country", ""))
    if country and country not in countries():
        raise CalendarError("No public holidays are known of the country %(country)s.", country=country)
    yearly: dict[tuple[int, int], DayOff] = {}
    days: dict[date, DayOff] = {}
    for entry in _list(data.get("days"), MOST_DAYS, "days"):
        when, off = read_day(entry)
        if when in (days if isinstance(when, date) else yearly):
            raise CalendarError("%(date)s is there twice among the days off.", date=_written(when))
        if isinstance(when, date):
            days[when] = off
        else:
            yearly[when] = off
    week = read_week(data.get("week", {}))
    seasons = tuple(_season(entry) for entry in _list(data.get("seasons"), MOST_SEASONS, "seasons"))
    if not any(week):
        raise CalendarError("The calendar has no open hour at all: give at least one day a period.")
    return Calendar(read_zone(str(data.get("zone", ""))), week, country, yearly, days, seasons)


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its name; raises CalendarError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise CalendarError('"%(zone)s" is no time zone: give one like Africa/Algiers.', zone=name) from None


def read_week(data: Any) -> Week:
    """The periods of a week: weekday in English -> list of periods. Raises CalendarError."""
    if not isinstance(data, Mapping):
        raise CalendarError("The week should name weekdays with their periods.")
    names = {str(key).capitalize(): value for key, value in data.items()}
    for name in names:
        if name not in WEEKDAYS:
            raise CalendarError('"%(day)s" is no weekday: write monday, tuesday and so on.', day=name)
    week = tuple(read_periods(names.get(name, ()), name) for name in WEEKDAYS)
    spread = sorted((n * DAY + h.opens, n * DAY + h.closes, WEEKDAYS[n], h) for n, day in enumerate(week) for h in day)
    if spread:  # Sunday's last period may reach into Monday
        opens, closes, name, first = spread[0]
        spread.append((opens + 7 * DAY, closes + 7 * DAY, name, first))
    for one, other in zip(spread, spread[1:], strict=False):
        if other[0] < one[1]:
            raise CalendarError(
                "%(day)s: the periods %(one)s and %(other)s overlap.",
                day=other[2],
                one=written(one[3]),
                other=written(other[3]),
            )
    return week


def read_periods(data: Any, where: str) -> tuple[Hours, ...]:
    """Periods like 08:00-12:00, as a list or in one text with commas; 22:00-06:00 passes midnight."""
    parts = data.split(",") if isinstance(data, str) else data
    if not isinstance(parts, Sequence):
        raise CalendarError("%(day)s: periods are written like 08:00-12:00.", day=where)
    found = sorted(_period(str(part), where) for part in parts if str(part).strip())
    if len(found) > MOST_PERIODS:
        raise CalendarError("%(day)s: a day has at most %(most)s periods.", day=where, most=MOST_PERIODS)
    for one, other in zip(found, found[1:], strict=False):
        if other.opens < one.closes:
            raise CalendarError(
                "%(day)s: the periods %(one)s and %(other)s overlap.",
                day=where,
                one=written(one),
                other=written(other),
            )
    return tuple(found)


def read_day(data: Any) -> tuple[date | tuple[int, int], DayOff]:
    """A day with hours of its own, {"date", "name", "hours", "usual"}: a date, or month and day of every year."""
    if not isinstance(data, Mapping) or set(data) - {"date", "name", "hours", "usual"}:
        raise CalendarError("A day off has a date, a name, and perhaps hours.")
    text = str(data.get("date", "")).strip()
    name = str(data.get("name", "")).strip()[:NAME]
    hours = None if data.get("usual") is True else read_periods(data.get("hours", ()), text)
    if re.fullmatch(r"\d\d-\d\d", text):
        month, day = int(text[:2]), int(text[3:])
        _date(f"2024-{text}", text)  # a leap year, so that 02-29 is a day
        return (month, day), DayOff(name, hours)
    return _date(text, text), DayOff(name, hours)


def read_days(text: str) -> list[dict[str, Any]]:
    """A file of days off: on each line a date, a name, and perhaps hours, with commas or semicolons between. Raises
    CalendarError with the number of the first line that is none."""
    if "BEGIN:VCALENDAR" in text[:2000]:
        return days_of(text)
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip().strip('"') for cell in re.split(r"[;,\t]", line, maxsplit=2)]
        entry = {"date": cells[0], "name": cells[1] if len(cells) > 1 else ""}
        if len(cells) > 2 and cells[2]:
            entry["hours"] = cells[2]
        try:
            read_day(entry)
        except CalendarError as error:
            raise CalendarError(
                'Line %(line)s of the file, "%(text)s": a day off is written like 2027-03-10;Name or 12-31;Name.',
                line=number,
                text=line.strip()[:NAME],
            ) from error
        found[cells[0]] = entry
    if len(found) > MOST_DAYS:
        raise CalendarError("The file has %(count)s days off; at most %(most)s fit.", count=len(found), most=MOST_DAYS)
    return list(found.values())


def read_span(text: str) -> tuple[date, date]:
    """From a day to a day, like 2027-02-08/2027-03-09; raises CalendarError."""
    first, _, last = text.partition("/")
    span = _date(first.strip(), text), _date((last or first).strip(), text)
    if span[1] < span[0]:
        raise CalendarError("%(dates)s ends before it starts.", dates=text)
    return span


def written(hours: Hours) -> str:
    """A period as it is typed: 08:00-12:00."""
    return f"{clock(hours.opens)}-{clock(hours.closes)}"


def clock(minutes: int) -> str:
    """A local time as it is typed; the end of a day as 24:00."""
    shown = minutes if minutes <= DAY else minutes - DAY
    return f"{shown // 60:02}:{shown % 60:02}"


def _season(data: Any) -> Season:
    if not isinstance(data, Mapping) or set(data) - {"name", "week", "dates", "ramadan"}:
        raise CalendarError("A season has a name, a week, and dates or ramadan.")
    name = str(data.get("name", "")).strip()[:NAME]
    spans = tuple(sorted(read_span(str(text)) for text in _list(data.get("dates"), MOST_DAYS, "dates")))
    is_ramadan = data.get("ramadan") is True
    if not spans and not is_ramadan:
        raise CalendarError("The season %(name)s never comes: give it dates.", name=name)
    week = read_week(data.get("week", {}))
    if not any(week):
        raise CalendarError("The season %(name)s has no open hour at all: enter it as days off instead.", name=name)
    for one, other in zip(spans, spans[1:], strict=False):
        if other[0] <= one[1]:
            raise CalendarError("The season %(name)s has dates that overlap.", name=name)
    return Season(name, week, spans, is_ramadan)


def _period(text: str, where: str) -> Hours:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise CalendarError(
            '%(day)s: "%(text)s" is no period: write it like 08:00-12:00.', day=where, text=text.strip()
        )
    opens, closes = (int(match[i]) * 60 + int(match[i + 1] or 0) for i in (1, 3))
    if opens >= DAY or closes > DAY or any(int(match[i] or 0) > 59 for i in (2, 4)):
        raise CalendarError('%(day)s: "%(text)s" is no time of a day.', day=where, text=text.strip())
    if opens == closes:
        raise CalendarError("%(day)s: the period %(text)s ends when it starts.", day=where, text=text.strip())
    if closes < opens:
        closes += DAY
        if closes - opens > LONGEST_NIGHT:
            raise CalendarError("%(day)s: the period %(text)s ends before it starts.", day=where, text=text.strip())
    return Hours(opens, closes)


def _date(text: str, shown: str) -> date:
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise CalendarError('"%(text)s" is no date: write it like 2027-03-10.', text=shown) from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise CalendarError("%(text)s is too far from today for a calendar.", text=shown)
    return found


def _list(data: Any, most: int, name: str) -> Iterator[Any]:
    if data is None:
        return iter(())
    if not isinstance(data, Sequence) or isinstance(data, str) or len(data) > most:
        raise CalendarError("%(name)s should be a list of at most %(most)s entries.", name=name, most=most)
    return iter(data)


def _written(when: date | tuple[int, int]) -> str:
    return when.isoformat() if isinstance(when, date) else f"{when[0]:02}-{when[1]:02}"
