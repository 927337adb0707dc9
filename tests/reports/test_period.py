"""Days are the company's days, also when its clocks change."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.reports.filters import Filters
from socialcrm.reports.messages import volume
from socialcrm.reports.period import Period, midnight

ALGIERS = ZoneInfo("Africa/Algiers")
PARIS = ZoneInfo("Europe/Paris")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def counted(company, period: Period) -> dict[date, int]:
    table = await volume(company.session, Filters(period))
    return {row["day"]: row["total"] for row in table.rows}


async def test_a_day_in_algiers_starts_an_hour_before_the_day_in_utc(company) -> None:
    for at in (
        "2026-03-09T22:59:59.999999",
        "2026-03-09T23:00:00",
        "2026-03-10T22:59:59.999700",
        "2026-03-10T23:00:00",
    ):
        await company.message(utc(at))
    assert await counted(company, Period(date(2026, 3, 9), date(2026, 3, 11), ALGIERS)) == {
        date(2026, 3, 9): 1,
        date(2026, 3, 10): 2,
        date(2026, 3, 11): 1,
    }


async def test_the_short_day_in_paris_ends_where_the_next_one_starts(company) -> None:
    for at in ("2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00"):
        await company.message(utc(at))
    assert await counted(company, Period(date(2026, 3, 28), date(2026, 3, 30), PARIS)) == {
        date(2026, 3, 28): 1,
        date(2026, 3, 29): 2,
        date(2026, 3, 30): 1,
    }


async def test_the_long_day_in_paris_has_twenty_five_hours(company) -> None:
    for at in ("2026-10-24T21:59:59", "2026-10-24T22:00:00", "2026-10-25T22:59:59", "2026-10-25T23:00:00"):
        await company.message(utc(at))
    assert await counted(company, Period(date(2026, 10, 24), date(2026, 10, 26), PARIS)) == {
        date(2026, 10, 24): 1,
        date(2026, 10, 25): 2,
        date(2026, 10, 26): 1,
    }


@pytest.mark.parametrize(
    "zone", ["Europe/Paris", "Africa/Casablanca", "Asia/Kathmandu", "America/St_Johns", "America/Sao_Paulo"]
)
async def test_every_half_hour_of_a_year_falls_into_the_day_that_its_clocks_show(company, zone: str) -> None:
    period = Period(date(2018, 1, 1), date(2018, 12, 31), ZoneInfo(zone))
    times = [period.starts_at + timedelta(minutes=30 * step) for step in range(-6, 366 * 48)]
    await company.many(times)
    days = Counter(at.astimezone(period.zone).date() for at in times)
    assert await counted(company, period) == {day: days[day] for day in period.days()}


async def test_a_day_without_messages_is_shown_as_zero(company) -> None:
    await company.message(utc("2026-03-10T12:00:00"))
    counts = await counted(company, Period(date(2026, 3, 9), date(2026, 3, 11), ALGIERS))
    assert list(counts.values()) == [0, 1, 0]


def test_a_midnight_that_the_clocks_skip_starts_where_they_skip_to() -> None:
    assert midnight(date(2018, 11, 4), ZoneInfo("America/Sao_Paulo")) == utc("2018-11-04T03:00:00")


def test_the_last_seven_days_end_today_by_the_clocks_of_the_company() -> None:
    period = Period.last_days(7, utc("2026-03-10T23:30:00"), ALGIERS)
    assert (period.first, period.last) == (date(2026, 3, 5), date(2026, 3, 11))


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Period(date(2026, 3, 2), date(2026, 3, 1), ALGIERS)
