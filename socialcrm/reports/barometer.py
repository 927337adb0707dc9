"""The satisfaction barometer: an index from each kind of survey, how sure it is, and who stands where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.survey import Survey
from socialcrm.domain.survey_form import SCALES, high_from
from socialcrm.reports.filters import Filters
from socialcrm.reports.period import day_of
from socialcrm.reports.satisfaction import sent
from socialcrm.reports.tables import Column, Table, share

Z = 1.959964
"""The 0.975 quantile of the normal distribution."""
FEW = 10
"""Fewer answers than this are shown and not ranked."""
DETRACTORS = 6
"""NPS: scores up to this count against."""
PARTS: Mapping[str, tuple[Any, Any]] = {
    "agent": (Survey.agent_id, Agent),
    "team": (Survey.team_id, Team),
    "channel": (Survey.channel_id, Channel),
}


@dataclass(frozen=True)
class Index:
    """Counts of one group of surveys of a kind, from which the index follows exactly.

    The index goes from 0 to 100: the share of content answers, for CSAT 4 and 5, for CES 5 to 7, of problems that are
    solved. NPS goes from -100 to 100: the share of 9 and 10 less that of 0 to 6.
    """

    kind: str
    sent: int = 0
    answered: int = 0
    content: int = 0
    against: int = 0

    @classmethod
    def sums(cls) -> tuple[ColumnElement[Any], ...]:
        """What to select, of surveys grouped by kind, for the fields after `kind`."""
        score, kind = col(Survey.score), col(Survey.kind)
        high = case(*((kind == name, high_from(name)) for name in SCALES), else_=None)
        return (
            func.count(),
            func.count(col(Survey.answered_at)),
            func.coalesce(func.sum(case((score >= high, 1), else_=0)), 0),
            func.coalesce(func.sum(case((score <= DETRACTORS, 1), else_=0)), 0),
        )

    @property
    def value(self) -> float | None:
        """The index; None when nobody answered, and of questionnaires."""
        if not self.answered or self.kind not in SCALES:
            return None
        counted = self.content - self.against if self.kind == "nps" else self.content
        return 100 * counted / self.answered

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the true index lies with 95 % confidence; None for less than two answers.

        Shares: Wilson's score interval (Wilson 1927; NIST/SEMATECH e-Handbook 7.2.4.1). NPS: normal approximation for
        the difference of two shares of one sample, variance (p + d - (p - d)²) / n.
        """
        n = self.answered
        if n < 2 or self.kind not in SCALES:
            return None
        share_content = self.content / n
        if self.kind == "nps":
            against = self.against / n
            middle = share_content - against
            half = Z * sqrt(max(share_content + against - middle**2, 0) / n)
            return max(-100.0, 100 * (middle - half)), min(100.0, 100 * (middle + half))
        below = 1 + Z**2 / n
        middle = (share_content + Z**2 / (2 * n)) / below
        half = Z / below * sqrt(share_content * (1 - share_content) / n + Z**2 / (4 * n**2))
        return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)

    @property
    def rate(self) -> float | None:
        """Answered of sent, both by the time of sending and with the same filters."""
        return share(self.answered, self.sent)

    def row(self) -> dict[str, Any]:
        """The figures under their columns."""
        low, high = self.interval or (None, None)
        return {
            "mean": self.value,
            "low": low,
            "high": high,
            "answered": self.answered,
            "sent": self.sent,
            "rate": self.rate,
            "is_ranked": self.answered >= FEW,
        }

    def __add__(self, other: "Index") -> "Index":
        return Index(
            self.kind,
            self.sent + other.sent,
            self.answered + other.answered,
            self.content + other.content,
            self.against + other.against,
        )


COLUMNS = (
    Column("mean", "Index", "score"),
    Column("low", "95 % from", "score", is_detail=True),
    Column("high", "95 % to", "score", is_detail=True),
    Column("answered", "Answers"),
    Column("sent", "Surveys sent"),
    Column("rate", "Response rate", "share"),
)


async def barometer(session: AsyncSession, filters: Filters, kind: str, per: str) -> Table:
    """The index per day, or per week from Monday, of the days on which surveys were sent."""
    found = await _by_day(session, filters, kind)
    days = list(filters.period.days())
    groups: dict[date, Index] = {}
    for day in days:
        start = day - timedelta(days=day.weekday()) if per == "week" else day
        first = max(start, filters.period.first)
        groups[first] = groups.get(first, Index(kind)) + found.get(day, Index(kind))
    title = "Week from" if per == "week" else "Day"
    rows = [{"day": day, **index.row()} for day, index in groups.items()]
    return Table(f"barometer_{per}", [Column("day", title, "day"), *COLUMNS], rows)


async def standing(session: AsyncSession, filters: Filters, kind: str, part: str) -> Table:
    """The index per agent, team or channel as kept at sending: those with enough answers in order, then the others."""
    key, table = PARTS[part]
    query = sent(select(col(key).label("key"), *Index.sums()), filters, kind).group_by("key")
    found = {row[0]: Index(kind, *(int(value) for value in row[1:])) for row in await session.execute(query)}
    named = select(col(table.id), col(table.name)).where(col(table.id).in_([n for n in found if n is not None]))
    names = {row[0]: row[1] for row in await session.execute(named)}

    def place(number: int | None) -> tuple[bool, float, str]:
        value = found[number].value
        return found[number].answered < FEW, -value if value is not None else 101, names.get(number, "").casefold()

    order = sorted(found, key=place)
    rows = [{"name": names.get(n, ""), "id": n, **found[n].row()} for n in order]
    title = {"agent": "Agent", "team": "Team", "channel": "Channel"}[part]
    return Table(f"standing_{part}", [Column("name", title, "text"), *COLUMNS], rows)


async def kinds(session: AsyncSession, filters: Filters) -> dict[str, Index]:
    """What was sent in the period, kind by kind."""
    query = sent(select(col(Survey.kind), *Index.sums()), filters, "").group_by(col(Survey.kind))
    found = {row[0]: Index(row[0], *(int(value) for value in row[1:])) for row in await session.execute(query)}
    return {kind: found[kind] for kind in (*SCALES, "questionnaire") if kind in found}


async def _by_day(session: AsyncSession, filters: Filters, kind: str) -> dict[date, Index]:
    day = filters.period.day_number(col(Survey.sent_at)).label("key")
    query = sent(select(day, *Index.sums()), filters, kind).group_by("key")
    return {day_of(row[0]): Index(kind, *(int(value) for value in row[1:])) for row in await session.execute(query)}


def sum_of(indices: Sequence[Index], kind: str) -> Index:
    """Of several groups together."""
    return sum(indices, Index(kind))
