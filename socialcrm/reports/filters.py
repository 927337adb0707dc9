"""What a report is asked for: read from the address, and written back into links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement

from socialcrm.reports.period import MAX_DAYS, Period

PRESETS = (7, 30, 90)
"""Periods that end today, in days."""
UNSURE = "unsure"
"""Stands for every label whose score was below the threshold."""
PENDING = "pending"
"""Not analysed yet."""
SENTIMENTS = ("positive", "neutral", "negative", UNSURE, PENDING)
BIG = 2**63


class FilterError(ValueError):
    """Something in the address is not a filter: the message is a sentence."""


@dataclass(frozen=True)
class Filters:
    """Which messages and surveys a report counts. `preset` is the number of days when the period ends today; the
    number 0 of a team stands for "none"."""

    period: Period
    preset: int | None = None
    channel_id: int | None = None
    team_id: int | None = None
    language: str = ""

    def query(self, **more: object) -> str:
        """The filters as the query part of an address; `more` wins and an empty value leaves a filter out."""
        days: dict[str, object] = (
            {"days": self.preset}
            if self.preset
            else {"from": self.period.first.isoformat(), "to": self.period.last.isoformat()}
        )
        rest = {"channel": self.channel_id, "team": self.team_id, "language": self.language}
        return urlencode({k: v for k, v in {**days, **rest, **more}.items() if v not in (None, "")})

    def on(self, first: date, last: date | None = None) -> "Filters":
        """The same filters for one day, or from one day to another."""
        return replace(self, period=Period(first, last or first, self.period.zone), preset=None)


def read_filters(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Filters:
    """The filters in an address, by default the last 7 days; raises FilterError. A first or last day wins over a number
    of days, unless both say the same."""
    first, last = query.get("from", ""), query.get("to", "")
    days = query.get("days", "" if first or last else str(PRESETS[0]))
    preset = None if days == "" and (first or last) else _number(days, "days")
    if preset is not None and preset not in PRESETS:
        raise FilterError(f"days should be one of {', '.join(str(known) for known in PRESETS)}.")
    period = Period.last_days(preset or PRESETS[0], now, zone)
    if first or last:
        chosen = _custom(first, last, now.astimezone(zone).date(), zone)
        preset = preset if chosen == period else None
        period = chosen
    channel, team = query.get("channel", ""), query.get("team", "")
    return Filters(
        period,
        preset,
        _number(channel, "channel") if channel else None,
        _number(team, "team") if team else None,
        query.get("language", "")[:40],
    )


def matches(column: Any, number: int) -> ColumnElement[bool]:
    """Whether a reference is this one; 0: whether there is none."""
    condition: ColumnElement[bool] = column == number if number else column.is_(None)
    return condition


def _custom(first: str, last: str, today: date, zone: ZoneInfo) -> Period:
    try:
        ends = date.fromisoformat(last) if last else today
        starts = date.fromisoformat(first) if first else ends
    except ValueError:
        raise FilterError("Dates should look like 2026-03-31.") from None
    if not (date(1990, 1, 1) <= starts <= ends <= date(2200, 1, 1)):
        raise FilterError("The first day should be before the last one.")
    if (ends - starts).days >= MAX_DAYS:
        raise FilterError(f"A report covers at most {MAX_DAYS} days.")
    return Period(starts, ends, zone)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) < BIG):
        raise FilterError(f"{name} should be a number.")
    return int(text)
