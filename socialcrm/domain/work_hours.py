"""When somebody works: periods of each day of the week by the company's clocks."""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta

_PERIOD = re.compile(r"(\d{1,2})[:h](\d{2})\s*[-–]\s*(\d{1,2})[:h](\d{2})")
_BETWEEN = re.compile(r"[\s,;]*")
FORM = "Write periods like 08:00-12:00 13:00-17:00."
ORDER = "A period should end after it starts; for a night write 22:00-24:00 and the rest the day after."
OVERLAP = "These periods overlap, or the later one comes first."
CLOCK = "The hours of a day go from 00:00 to 24:00."


class BadHours(ValueError):
    """What is wrong with the hours of a day; one sentence."""


def read_day(text: str) -> str:
    """The periods of a day as they are kept, "08:00-12:00 13:00-17:00", from what somebody typed. Raises BadHours."""
    found: list[tuple[int, int]] = []
    at, text = 0, text.strip()
    while at < len(text):
        period = _PERIOD.match(text, at)
        if period is None:
            raise BadHours(FORM)
        start, end = _time(period[1], period[2]), _time(period[3], period[4])
        if not start < end:
            raise BadHours(ORDER)
        if found and start < found[-1][1]:
            raise BadHours(OVERLAP)
        found.append((start, end))
        at = _BETWEEN.match(text, period.end()).end()  # type: ignore[union-attr]
    return " ".join(f"{_text(start)}-{_text(end)}" for start, end in found)


def is_working(hours: Mapping[str, str], at: datetime) -> bool:
    """Whether a local time lies in somebody's hours; somebody without hours works at any time."""
    if not any(hours.values()):
        return True
    minute = at.hour * 60 + at.minute
    return any(start <= minute < end for start, end in _periods(hours.get(str(at.weekday()), "")))


def next_start(hours: Mapping[str, str], at: datetime) -> datetime | None:
    """When somebody who does not work at a local time begins again; None of somebody without hours."""
    for days in range(8):
        day = (at + timedelta(days=days)).date()
        for start, _ in _periods(hours.get(str(day.weekday()), "")):
            begins = datetime.combine(day, time(start // 60, start % 60), tzinfo=at.tzinfo)
            if begins > at:
                return begins
    return None


def _periods(text: str) -> list[tuple[int, int]]:
    return [(_time(p[1], p[2]), _time(p[3], p[4])) for p in _PERIOD.finditer(text)]


def _time(hour: str, minute: str) -> int:
    """Minutes since midnight."""
    if int(hour) * 60 + int(minute) > 24 * 60 or int(minute) > 59:
        raise BadHours(CLOCK)
    return int(hour) * 60 + int(minute)


def _text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
