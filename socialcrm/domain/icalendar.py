"""Days off in an iCalendar file (RFC 5545), as governments publish them: whole-day events and their names."""

import re
from datetime import date, timedelta
from typing import Any

from socialcrm.domain.calendar import CalendarError

MOST_DAYS_OF_ONE = 60
_FOLD = re.compile(r"\r?\n[ \t]")
"""A long line goes on after a line break and a blank (RFC 5545, 3.1)."""


def days_of(text: str) -> list[dict[str, Any]]:
    """The days of all whole-day events, as `read_calendar` takes them; raises CalendarError with the line's number."""
    found: dict[str, dict[str, Any]] = {}
    event: dict[str, str] = {}
    number = 0
    for line in re.split(r"\r?\n(?![ \t])", text):
        number += 1
        name, _, value = _FOLD.sub("", line).partition(":")
        key = name.partition(";")[0].upper()
        if key == "BEGIN" and value.strip().upper() == "VEVENT":
            event = {}
        elif key in ("DTSTART", "DTEND", "SUMMARY"):
            event[key] = value.strip()
        elif key == "END" and value.strip().upper() == "VEVENT":
            first, last = _span(event, number)
            day = first
            while day <= last:
                title = re.sub(r"\\(.)", r"\1", event.get("SUMMARY", ""))[:80]
                found[day.isoformat()] = {"date": day.isoformat(), "name": title}
                day += timedelta(days=1)
        number += len(_FOLD.findall(line))
    return list(found.values())


def _span(event: dict[str, str], number: int) -> tuple[date, date]:
    """The first and the last day of an event; its end is the day after (RFC 5545, 3.6.1)."""
    try:
        first = date.fromisoformat(event["DTSTART"][:8])
        end = event.get("DTEND", "")
        last = date.fromisoformat(end[:8]) - timedelta(days=1) if end else first
    except (KeyError, ValueError):
        raise CalendarError("The event that ends on line %(line)s of the file has no date.", line=number) from None
    if (last - first).days > MOST_DAYS_OF_ONE:
        raise CalendarError("The event that ends on line %(line)s of the file is too long.", line=number)
    return first, max(first, last)
