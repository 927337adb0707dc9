"""When somebody works."""

from datetime import UTC, datetime

import pytest

from socialcrm.domain.work_hours import BadHours, is_working, next_start, read_day


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ""),
        ("8:00-12:00", "08:00-12:00"),
        ("08:00 - 12:00, 13h00–17h30", "08:00-12:00 13:00-17:30"),
        ("22:00-24:00", "22:00-24:00"),
    ],
)
def test_periods_are_kept_in_one_form(typed: str, kept: str) -> None:
    assert read_day(typed) == kept


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("morning", "like 08:00-12:00"),
        ("08:00-12:00 lunch", "like 08:00-12:00"),
        ("12:00-08:00", "end after it starts"),
        ("08:00-12:00 11:00-13:00", "overlap"),
        ("13:00-17:00 08:00-12:00", "comes first"),
        ("08:00-25:00", "from 00:00 to 24:00"),
        ("08:61-09:00", "from 00:00 to 24:00"),
    ],
)
def test_impossible_periods_are_refused_with_the_reason(typed: str, why: str) -> None:
    with pytest.raises(BadHours, match=why):
        read_day(typed)


def test_the_end_of_a_period_is_outside_and_no_hours_are_all_hours() -> None:
    hours = {"6": "08:00-12:00 13:00-17:00"}  # the 1st of March 2026 is a Sunday
    at = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    assert [is_working(hours, at.replace(hour=h)) for h in (7, 8, 11, 12, 13, 17)] == [
        False, True, True, False, True, False,
    ]  # fmt: skip
    assert not is_working(hours, at.replace(day=2, hour=9))
    assert is_working({}, at) and is_working({"0": ""}, at)
    assert next_start(hours, at.replace(hour=12)) == at.replace(hour=13)
    assert next_start(hours, at.replace(hour=18)) == at.replace(day=8)
    assert next_start({}, at) is None
