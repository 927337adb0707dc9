"""What a calendar is read from, and what it says about what cannot be one."""

from datetime import date
from typing import Any

import pytest

from socialcrm.domain.calendar import CalendarError, Hours
from socialcrm.domain.hours import read_calendar, read_days, read_periods, read_week

WEEK = {"monday": "08:00-12:00, 13:00-17:00"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"week": {}}, "The calendar has no open hour at all: give at least one day a period."),
        ({"zone": "Africa/Atlantis"}, '"Africa/Atlantis" is no time zone: give one like Africa/Algiers.'),
        ({"zone": ""}, '"" is no time zone: give one like Africa/Algiers.'),
        ({"zone": "../etc/passwd"}, '"../etc/passwd" is no time zone: give one like Africa/Algiers.'),
        (
            {"week": {"monday": "08:00-12:00, 11:00-14:00"}},
            "Monday: the periods 08:00-12:00 and 11:00-14:00 overlap.",
        ),
        (
            {"week": {"monday": "22:00-06:00", "tuesday": "05:00-14:00"}},
            "Tuesday: the periods 22:00-06:00 and 05:00-14:00 overlap.",
        ),
        (
            {"week": {"sunday": "22:00-06:00", "monday": "05:00-14:00"}},
            "Monday: the periods 22:00-06:00 and 05:00-14:00 overlap.",
        ),
        ({"week": {"monday": "12:00-08:00"}}, "Monday: the period 12:00-08:00 ends before it starts."),
        ({"week": {"monday": "08:00-08:00"}}, "Monday: the period 08:00-08:00 ends when it starts."),
        ({"week": {"monday": "25:00-26:00"}}, 'Monday: "25:00-26:00" is no time of a day.'),
        ({"week": {"monday": "morning"}}, 'Monday: "morning" is no period: write it like 08:00-12:00.'),
        ({"week": {"moonday": "08:00-12:00"}}, '"Moonday" is no weekday: write monday, tuesday and so on.'),
        ({"country": "XX"}, "No public holidays are known of the country XX."),
        ({"days": [{"date": "2026-02-30"}]}, '"2026-02-30" is no date: write it like 2027-03-10.'),
        ({"days": [{"date": "13-01"}]}, '"13-01" is no date: write it like 2027-03-10.'),
        ({"days": [{"date": "9999-01-01"}]}, "9999-01-01 is too far from today for a calendar."),
        ({"days": [{"date": "05-01"}, {"date": "05-01"}]}, "05-01 is there twice among the days off."),
        (
            {"seasons": [{"name": "Summer", "dates": ["2026-08-31/2026-07-01"], "week": WEEK}]},
            "2026-08-31/2026-07-01 ends before it starts.",
        ),
        ({"seasons": [{"name": "Summer", "week": WEEK}]}, "The season Summer never comes: give it dates."),
        (
            {"seasons": [{"name": "Summer", "dates": ["2026-07-01"], "week": {}}]},
            "The season Summer has no open hour at all: enter it as days off instead.",
        ),
        ({"hours": []}, '"hours" is no part of a calendar.'),
    ],
)
def test_a_calendar_that_cannot_be_is_refused_with_the_reason(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CalendarError) as refused:
        read_calendar({"zone": "Africa/Algiers", "week": WEEK, **data})
    assert str(refused.value) == sentence


def test_periods_are_read_as_people_write_them() -> None:
    assert read_periods("8h-12h, 13:30 – 17h15", "Monday") == (Hours(480, 720), Hours(810, 1035))
    assert read_periods(["22:00-06:00"], "Monday") == (Hours(1320, 1800),)
    assert read_periods("16:00-24:00", "Monday") == (Hours(960, 1440),)
    assert read_week({"Monday": "00:00-24:00", "tuesday": "00:00-24:00"})[0] == (Hours(0, 1440),)


def test_a_file_of_days_off_is_read_with_dates_days_of_every_year_and_hours() -> None:
    text = "\ufeff# announced\n2027-03-10;Aïd el-Fitr\n\n12-31,Inventory,09:00-12:00\n2027-05-16\tAïd el-Adha\n"
    days = read_days(text)
    assert [day["date"] for day in days] == ["2027-03-10", "12-31", "2027-05-16"]
    calendar = read_calendar({"zone": "Africa/Algiers", "week": WEEK, "days": days})
    assert calendar.hours(date(2030, 12, 31)) == (Hours(540, 720),)


@pytest.mark.parametrize("bad", ["10 mars;Aïd", "2027-02-29;Never", "2027-03-10;Aïd;all day"])
def test_a_bad_line_in_a_file_of_days_off_is_named(bad: str) -> None:
    with pytest.raises(CalendarError, match="Line 3 of the file") as refused:
        read_days(f"2027-01-01;New year\n\n{bad}\n2027-05-01;Labour\n")
    assert bad in str(refused.value)


ICS = """BEGIN:VCALENDAR\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20270310\r
DTEND;VALUE=DATE:20270312\r
SUMMARY:Aïd\\, a feast of\r
  two days\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART:20270501T000000Z\r
SUMMARY:Labour day\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_days_off_are_read_from_an_icalendar_file_too() -> None:
    assert read_days(ICS) == [
        {"date": "2027-03-10", "name": "Aïd, a feast of two days"},
        {"date": "2027-03-11", "name": "Aïd, a feast of two days"},
        {"date": "2027-05-01", "name": "Labour day"},
    ]
    with pytest.raises(CalendarError, match="ends on line 11 of the file has no date"):
        read_days(ICS.replace("DTSTART:20270501T000000Z", "DTSTART:soon"))
