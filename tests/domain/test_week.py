"""Weeks by the company's clocks."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from socialcrm.domain.week import Week

ALGIERS = ZoneInfo("Africa/Algiers")
PARIS = ZoneInfo("Europe/Paris")


def test_a_week_is_named_as_iso_8601_does() -> None:
    assert Week(date(2026, 12, 28), ALGIERS).key == "2026-W53"
    assert Week(date(2025, 12, 29), ALGIERS).key == "2026-W01"


def test_a_week_starts_on_monday_at_midnight_of_the_company() -> None:
    sunday_night = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)  # Monday, 0:30 in Algiers
    week = Week.of(sunday_night, ALGIERS)
    assert week.monday == date(2026, 11, 16)
    assert week.starts_at == datetime(2026, 11, 15, 23, tzinfo=UTC)
    assert week.before().sunday == date(2026, 11, 15)


def test_a_week_in_which_the_clocks_change_has_an_hour_more_or_less() -> None:
    spring = Week(date(2026, 3, 23), PARIS)
    assert (spring.ends_at - spring.starts_at).total_seconds() == (7 * 24 - 1) * 3600
