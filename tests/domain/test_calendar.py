"""Working time: the arithmetic against a walk minute by minute, and the days that are special."""

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socialcrm.domain.calendar import Calendar, CalendarError, DayOff, Hours, Season
from socialcrm.domain.hours import WEEKDAYS, read_calendar

ZONES = [ZoneInfo(name) for name in ("Africa/Algiers", "Europe/Paris", "America/New_York", "Africa/Cairo", "UTC")]
TIMES = [minute for minute in range(0, 1441, 30) if not (60 <= minute <= 180 or 1380 <= minute < 1440)]
"""Where periods open and close: not in an hour that comes twice, which the walk would count otherwise."""
ALGIERS = ZoneInfo("Africa/Algiers")
OFFICE = {"monday": "08:00-12:00, 13:00-17:00", "thursday": "08:00-17:00", "sunday": "08:00-17:00"}


@st.composite
def days(draw: st.DrawFn) -> tuple[Hours, ...]:
    """The periods of a day, which may reach into the next one."""
    times = sorted(draw(st.sets(st.sampled_from(TIMES), max_size=4)))
    found = [Hours(a, b) for a, b in zip(times[::2], times[1::2], strict=False)]
    if times and draw(st.booleans()) and times[-1] < 1440:
        found.append(Hours(times[-1], 1440 + draw(st.sampled_from([30, 360, 480]))))
    return tuple(found)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    week = tuple(draw(days()) for _ in range(7))
    if not any(week):
        week = ((Hours(480, 1020),), *week[1:])
    special = draw(st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 12, 31)), days(), max_size=20))
    first = draw(st.dates(date(2026, 1, 1), date(2026, 12, 1)))
    span = (first, first + timedelta(days=draw(st.integers(0, 40))))
    other = tuple(draw(days()) for _ in range(7))
    return Calendar(
        draw(st.sampled_from(ZONES)),
        week,
        draw(st.sampled_from(["", "DZ", "FR"])),
        {(5, 1): DayOff("First of May")},
        {day: DayOff("", hours) for day, hours in special.items()},
        (Season("Other", other, (span,)),) if any(other) else (),
    )


instants = st.datetimes(
    datetime(2025, 12, 20),
    datetime(2027, 1, 15),
    timezones=st.just(UTC),
)
durations = st.timedeltas(timedelta(), timedelta(days=30))
known = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@known
@given(calendars(), instants, st.timedeltas(timedelta(), timedelta(days=2)))
def test_working_time_is_the_number_of_open_minutes(calendar: Calendar, start: datetime, length: timedelta) -> None:
    start = start.replace(second=0, microsecond=0)
    end = start + timedelta(minutes=length // timedelta(minutes=1))
    minutes = [start + timedelta(minutes=n) for n in range((end - start) // timedelta(minutes=1))]
    opened = [at for at in minutes if walked(calendar, at)]
    assert calendar.working_between(start, end) == timedelta(minutes=len(opened))
    assert all(calendar.is_open(at) for at in opened[:200])


def walked(calendar: Calendar, at: datetime) -> bool:
    """Whether people work, read from the clock on the wall."""
    local = at.astimezone(calendar.zone)
    day, minute = local.date(), local.hour * 60 + local.minute
    if any(h.opens <= minute < h.closes for h in calendar.hours(day)):
        return True
    night = calendar.hours(day - timedelta(days=1))
    return calendar.day_off(day) is None and any(minute + 1440 < h.closes for h in night)


@known
@given(calendars(), instants, durations)
def test_adding_working_time_and_measuring_it_are_each_other_s_inverse(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    end = calendar.add_working(start, length)
    assert calendar.working_between(start, end) == length
    if length:
        just_before = end - timedelta(microseconds=1)
        assert calendar.working_between(start, just_before) == length - timedelta(microseconds=1)


@known
@given(calendars(), instants, instants, instants)
def test_working_time_adds_up_and_never_shrinks(calendar: Calendar, a: datetime, b: datetime, c: datetime) -> None:
    a, b, c = sorted((a, b, c))
    whole = calendar.working_between(a, c)
    assert calendar.working_between(a, b) + calendar.working_between(b, c) == whole
    assert timedelta() <= whole <= c - a
    assert calendar.working_between(c, a) == timedelta()


@known
@given(calendars(), instants, durations, durations)
def test_more_time_is_never_due_earlier(calendar: Calendar, start: datetime, one: timedelta, more: timedelta) -> None:
    first, second = calendar.add_working(start, one), calendar.add_working(start, one + more)
    assert start <= first <= second
    assert calendar.add_working(first, more) == second or not more
    later = start + more
    assert calendar.add_working(later, one) >= first


@known
@given(calendars(), instants)
def test_the_next_opening_is_the_first_open_instant(calendar: Calendar, at: datetime) -> None:
    opens = calendar.next_opening(at)
    assert opens is not None
    assert opens >= at
    assert calendar.is_open(opens)
    assert calendar.working_between(at, opens) == timedelta()
    closes = calendar.closing(opens)
    if closes is None:
        assert calendar.working_between(opens, opens + timedelta(days=365)) == timedelta(days=365)
        return
    assert calendar.working_between(opens, closes) == closes - opens
    assert not calendar.is_open(closes)


def office(**more: object) -> Calendar:
    return read_calendar({"zone": "Africa/Algiers", "week": OFFICE, **more})


def local(text: str, zone: ZoneInfo = ALGIERS) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def test_two_hours_late_on_thursday_are_due_on_sunday_where_people_rest_on_friday() -> None:
    calendar = office()
    assert calendar.add_working(local("2026-11-19T16:00"), timedelta(hours=2)) == local("2026-11-22T09:00")
    assert calendar.add_working(local("2026-11-19T16:00"), timedelta(hours=1)) == local("2026-11-19T17:00")
    assert calendar.working_between(local("2026-11-16T11:00"), local("2026-11-16T14:00")) == timedelta(hours=2)


def test_an_hour_that_clocks_skip_or_repeat_is_counted_as_it_passes() -> None:
    week = dict.fromkeys(("saturday", "sunday", "monday"), "00:00-24:00")
    calendar = read_calendar({"zone": "Europe/Paris", "week": week})
    paris = ZoneInfo("Europe/Paris")
    spring = calendar.working_between(local("2026-03-29T00:00", paris), local("2026-03-30T00:00", paris))
    autumn = calendar.working_between(local("2026-10-25T00:00", paris), local("2026-10-26T00:00", paris))
    assert (spring, autumn) == (timedelta(hours=23), timedelta(hours=25))
    night = read_calendar({"zone": "Europe/Paris", "week": {"sunday": "02:30-05:00"}})
    assert night.next_opening(local("2026-03-29T00:00", paris)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert night.next_opening(local("2026-10-25T00:00", paris)) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    skipped = read_calendar({"zone": "Europe/Paris", "week": {"sunday": "02:15-02:45", "monday": "08:00-09:00"}})
    assert skipped.next_opening(local("2026-03-29T00:00", paris)) == local("2026-03-30T08:00", paris)


def test_a_night_ends_at_midnight_before_a_day_off_and_none_begins_on_it() -> None:
    week = dict.fromkeys(("thursday", "friday", "saturday"), "22:00-06:00")
    calendar = read_calendar({"zone": "UTC", "week": week, "days": [{"date": "2026-05-01", "name": "Rest"}]})
    thursday = datetime(2026, 4, 30, 22, tzinfo=UTC)
    assert calendar.closing(thursday) == datetime(2026, 5, 1, tzinfo=UTC)
    assert calendar.next_opening(datetime(2026, 5, 1, tzinfo=UTC)) == datetime(2026, 5, 2, 22, tzinfo=UTC)
    assert calendar.closing(datetime(2026, 5, 2, 22, tzinfo=UTC)) == datetime(2026, 5, 3, 6, tzinfo=UTC)


def test_a_night_into_the_new_year_is_one_period() -> None:
    calendar = read_calendar({"zone": "UTC", "week": {"thursday": "22:00-06:00", "monday": "08:00-09:00"}})
    assert calendar.closing(datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2027, 1, 1, 6, tzinfo=UTC)
    always = read_calendar({"zone": "UTC", "week": dict.fromkeys(WEEKDAYS, "00:00-24:00")})
    assert always.closing(datetime(2026, 12, 31, 23, tzinfo=UTC)) is None


def test_public_holidays_come_by_country_and_a_date_of_ours_wins() -> None:
    calendar = office(
        country="DZ",
        days=[
            {"date": "2026-03-22", "name": "worked this year", "usual": True},
            {"date": "2026-07-05", "name": "half a day", "hours": "09:00-11:00"},
            {"date": "12-27", "name": "inventory"},
        ],
    )
    assert calendar.day_off(date(2026, 11, 1)) is not None
    assert calendar.day_off(date(2026, 3, 22)) is None
    assert calendar.hours(date(2026, 7, 5)) == (Hours(540, 660),)
    assert [calendar.hours(date(year, 12, 27)) for year in (2026, 2027, 2032)] == [(), (), ()]
    eid = calendar.day_off(date(2026, 3, 20))
    assert eid is not None
    assert "Fitr" in eid.name or "فطر" in eid.name


def test_ramadan_has_its_hours_and_moves_where_its_dates_were_announced() -> None:
    short = {"monday": "10:00-14:00", "thursday": "10:00-14:00"}
    computed = office(seasons=[{"name": "Ramadan", "ramadan": True, "week": short}])
    assert computed.season(date(2026, 2, 17)) is None
    assert computed.hours(date(2026, 2, 23)) == (Hours(600, 840),)
    assert computed.season(date(2026, 3, 19)) is not None
    assert computed.season(date(2026, 3, 20)) is None
    announced = office(
        seasons=[{"name": "Ramadan", "ramadan": True, "week": short, "dates": ["2026-02-19/2026-03-20"]}]
    )
    assert announced.season(date(2026, 2, 18)) is None
    assert announced.season(date(2026, 3, 20)) is not None
    assert announced.season(date(2027, 2, 20)) is not None, "other years are computed as before"


def test_what_lies_between_two_instants_costs_nothing_once_its_years_are_known() -> None:
    calendar = office(country="DZ")
    start = datetime(2020, 1, 5, 10, tzinfo=UTC)

    def cost(days: int) -> float:
        end = start + timedelta(days=days)
        calendar.working_between(start, end)
        began = time.perf_counter()
        for _ in range(300):
            calendar.working_between(start, end)
        return time.perf_counter() - began

    assert min(cost(3000) for _ in range(5)) < 4 * min(cost(30) for _ in range(5))


def test_a_promise_that_never_comes_due_is_refused() -> None:
    with pytest.raises(CalendarError, match="never passes"):
        office().add_working(datetime(2190, 1, 1, tzinfo=UTC), timedelta(days=9000))
