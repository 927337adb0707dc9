"""A calendar: when people work. Working time between two instants, and the instant at which some of it has passed.

Arithmetic is done on the opening periods of whole local years, computed once and kept, so that what lies between two
instants costs nothing to pass over. Local times become instants as follows where clocks change: a time that they skip
is the instant of the change, and of a time that comes twice a period opens at the first and closes at the second.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from socialcrm.domain.days_off import public_holidays, ramadans

DAY = 1440
"""Minutes of a day by the clock."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 2199


@dataclass(frozen=True, order=True)
class Hours:
    """One opening period, in minutes after the local midnight with which its day begins. It closes after it opens, at
    most a day later: one that closes after 24:00 goes on into the next day."""

    opens: int
    closes: int


Week = tuple[tuple[Hours, ...], ...]
"""The periods that begin on Monday, Tuesday … Sunday."""


@dataclass(frozen=True)
class DayOff:
    """A day with hours of its own: none of them on a day off, None for those of any other such weekday."""

    name: str
    hours: tuple[Hours, ...] | None = ()


@dataclass(frozen=True)
class Season:
    """Other hours for a part of the year: from a day to a day, both included, or each Ramadan.

    Ramadan is computed; where it overlaps one of the days that are given, those count instead.
    """

    name: str
    week: Week
    spans: tuple[tuple[date, date], ...] = ()
    is_ramadan: bool = False

    def spans_of(self, year: int) -> tuple[tuple[date, date], ...]:
        """When it is, as far as a part of that lies in the year."""
        given = tuple(span for span in self.spans if span[0].year <= year <= span[1].year)
        if not self.is_ramadan:
            return given
        computed = (
            span
            for span in ramadans(year)
            if not any(first <= span[1] and span[0] <= last for first, last in self.spans)
        )
        return (*given, *computed)


@dataclass(frozen=True)
class _Year:
    """The opening periods of one local year, apart and in order, in microseconds since 1970."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    before: tuple[int, ...]
    """How long was open before each period, and at last the whole year."""


@dataclass(frozen=True)
class Calendar:
    """When people work, by the clocks of one zone. `days` are single dates, `yearly` month and day of every year; a
    date wins over a day of every year, both over the public holidays of `country`. Of seasons the first wins.

    A day off begins at midnight: no period begins on it, and one of the day before ends there.
    """

    zone: ZoneInfo
    week: Week
    country: str = ""
    yearly: Mapping[tuple[int, int], DayOff] = field(default_factory=dict)
    days: Mapping[date, DayOff] = field(default_factory=dict)
    seasons: tuple[Season, ...] = ()
    _years: dict[int, _Year] = field(default_factory=dict, compare=False, repr=False)

    def is_open(self, at: datetime) -> bool:
        """Whether people work at an instant. A period holds the instant at which it opens and not its last."""
        year, place = self._find(_micros(at))
        return place >= 0 and _micros(at) < year.ends[place]

    def next_opening(self, at: datetime) -> datetime | None:
        """The instant itself when people work then, else when they next do; None if they never will again."""
        wanted = _micros(at)
        year, place = self._find(wanted)
        if place >= 0 and wanted < year.ends[place]:
            return at
        for number in range(self._number(wanted), LAST_YEAR + 1):
            year = self._year(number)
            place = bisect_right(year.starts, wanted)
            if place < len(year.starts):
                return _instant(year.starts[place])
        return None

    def closing(self, at: datetime) -> datetime | None:
        """When the period in which an instant lies ends; None outside of all, or when the next year brings no end."""
        year, place = self._find(_micros(at))
        if place < 0 or _micros(at) >= year.ends[place]:
            return None
        end = year.ends[place]
        after = self._year(self._number(_micros(at)) + 1)
        if not after.starts or after.starts[0] != end:  # no night into the new year
            return _instant(end)
        return _instant(after.ends[0]) if len(after.ends) > 1 else None

    def working_between(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` people work; nothing when it ends before it starts."""
        first, last = _micros(start), _micros(end)
        if last <= first:
            return timedelta()
        number, final = self._number(first), self._number(last)
        passed = self._passed(final, last) - self._passed(number, first)
        passed += sum(self._year(n).before[-1] for n in range(number, final))
        return timedelta(microseconds=passed)

    def add_working(self, start: datetime, duration: timedelta) -> datetime:
        """The first instant at which so much working time has passed since `start`: at the end of a period rather than
        at the start of the next. Raises CalendarError when that never comes."""
        if duration <= timedelta():
            return start
        first = _micros(start)
        number = self._number(first)
        wanted = self._passed(number, first) + duration // timedelta(microseconds=1)
        for n in range(number, LAST_YEAR + 1):
            year = self._year(n)
            if wanted <= year.before[-1]:
                place = bisect_right(year.before, wanted - 1) - 1
                return _instant(year.starts[place] + wanted - year.before[place])
            wanted -= year.before[-1]
        raise CalendarError("So much working time never passes in this calendar.")

    def day_off(self, day: date) -> DayOff | None:
        """What makes a day unlike other such weekdays, if anything does."""
        own = self.days.get(day) or self.yearly.get((day.month, day.day))
        if own is not None:
            return own if own.hours is not None else None
        name = public_holidays(self.country, day.year).get(day) if self.country else None
        return DayOff(name) if name else None

    def season(self, day: date) -> Season | None:
        """The season that a day lies in."""
        for season in self.seasons:
            if any(first <= day <= last for first, last in season.spans_of(day.year)):
                return season
        return None

    def hours(self, day: date) -> tuple[Hours, ...]:
        """The periods that begin on a day."""
        off = self.day_off(day)
        if off is not None and off.hours is not None:
            return off.hours
        season = self.season(day)
        return (season.week if season else self.week)[day.weekday()]

    def _find(self, at: int) -> tuple[_Year, int]:
        """The year of an instant, and its last period that began by then, or -1."""
        year = self._year(self._number(at))
        return year, bisect_right(year.starts, at) - 1

    def _passed(self, number: int, at: int) -> int:
        """How long was open in a year before an instant of it."""
        year, place = self._year(number), bisect_right(self._year(number).starts, at) - 1
        return year.before[place] + min(at, year.ends[place]) - year.starts[place] if place >= 0 else 0

    def _number(self, at: int) -> int:
        """The local year of an instant."""
        return _instant(at).astimezone(self.zone).year

    def _year(self, number: int) -> _Year:
        if number not in self._years:
            self._years[number] = self._computed(number)
        return self._years[number]

    def _computed(self, number: int) -> _Year:
        starts: list[int] = []
        ends: list[int] = []
        for opens, closes in self._periods(number):
            if starts and opens <= ends[-1]:
                ends[-1] = max(ends[-1], closes)
            elif closes > opens:
                starts.append(opens)
                ends.append(closes)
        before = [0]
        for opens, closes in zip(starts, ends, strict=True):
            before.append(before[-1] + closes - opens)
        return _Year(tuple(starts), tuple(ends), tuple(before))

    def _periods(self, number: int) -> Iterator[tuple[int, int]]:
        """The periods of a year cut at midnight, in the order in which they open."""
        day = date(number, 1, 1)
        yesterday = self.hours(day - timedelta(days=1))
        offset = self._offset(day)
        while day.year == number:
            tomorrow = day + timedelta(days=1)
            today, next_offset = self.hours(day), self._offset(tomorrow)
            found = list(today)
            if any(h.closes > DAY for h in yesterday) and not self.day_off(day):
                found += [Hours(0, h.closes - DAY) for h in yesterday if h.closes > DAY]
            if offset is not None and offset == next_offset:  # no change of clocks: no zone has to be asked
                midnight = ((day - EPOCH.date()).days * 86_400 - offset) * SECOND
                for h in sorted(found):
                    yield midnight + h.opens * MINUTE, midnight + min(h.closes, DAY) * MINUTE
            else:
                for h in sorted(found):
                    yield self._at(day, h.opens, is_end=False), self._at(day, min(h.closes, DAY), is_end=True)
            yesterday, day, offset = today, tomorrow, next_offset

    def _offset(self, day: date) -> int | None:
        """Seconds by which the clocks are ahead of UTC at midnight; None where that midnight is skipped or repeated."""
        early, late = (datetime(day.year, day.month, day.day, tzinfo=self.zone, fold=fold) for fold in (0, 1))
        offset = early.utcoffset()
        return offset // timedelta(seconds=1) if offset is not None and offset == late.utcoffset() else None

    def _at(self, day: date, minute: int, *, is_end: bool) -> int:
        """The instant of a local time, in microseconds since 1970."""
        day += timedelta(days=minute // DAY)
        minute %= DAY
        local = datetime.combine(day, time(minute // 60, minute % 60))
        early, late = (local.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        before, after = early.utcoffset(), late.utcoffset()
        if before == after or before is None or after is None:
            return _micros(early)
        if before < after:  # clocks skip this time: PEP 495 reads it with the offsets of before and after the change
            return _change(_micros(late), _micros(early), self.zone)
        return _micros(late if is_end and minute else early)  # a day ends when its next one first begins


class CalendarError(Exception):
    """Something about a calendar cannot be: a sentence with %(name)s in it, and what to fill in."""

    def __init__(self, sentence: str, **values: object) -> None:
        self.sentence, self.values = sentence, values
        super().__init__(sentence % values)


def _change(early: int, late: int, zone: ZoneInfo) -> int:
    """The instant between two at which the clocks of a zone change, to the second."""
    start = _instant(early).astimezone(zone).utcoffset()
    low, high = early // SECOND, late // SECOND
    while high - low > 1:
        middle = (low + high) // 2
        is_before = _instant(middle * SECOND).astimezone(zone).utcoffset() == start
        low, high = (middle, high) if is_before else (low, middle)
    return high * SECOND


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
