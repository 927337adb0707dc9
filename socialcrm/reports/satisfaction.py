"""CSAT: means, how many answered, and how sure the means are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.survey import Survey
from socialcrm.reports.filters import Filters, matches
from socialcrm.reports.period import day_of
from socialcrm.reports.tables import Column, Table, share

LOWEST, HIGHEST = 1, 5
_T = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 8: 2.3060, 9: 2.2622}
"""0.975 quantiles of Student's t by degrees of freedom, where the expansion in `student_t` is too rough."""


@dataclass(frozen=True)
class Scores:
    """Sums over the surveys of one group, from which every figure follows exactly."""

    sent: int = 0
    answered: int = 0
    total: int = 0
    squares: int = 0

    @property
    def mean(self) -> float | None:
        """The mean score; None when nobody answered."""
        return self.total / self.answered if self.answered else None

    @property
    def response_rate(self) -> float | None:
        """Surveys answered of surveys sent, both by the time of sending."""
        return share(self.answered, self.sent)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean: mean ± t(0.975, n-1) · s / √n, kept within the scale.

        NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2 "Confidence Limits for the Mean". None for less than
        two answers and for answers that are all the same: their spread says nothing about the mean's.
        """
        if self.answered < 2:
            return None
        n, mean = self.answered, self.total / self.answered
        variance = (n * self.squares - self.total**2) / (n * (n - 1))
        if variance <= 0:
            return None
        half = student_t(n - 1) * sqrt(variance / n)
        return max(LOWEST, mean - half), min(HIGHEST, mean + half)

    def row(self) -> dict[str, Any]:
        """The figures under their columns."""
        low, high = self.interval or (None, None)
        return {
            "mean": self.mean,
            "low": low,
            "high": high,
            "answered": self.answered,
            "sent": self.sent,
            "rate": self.response_rate,
        }


COLUMNS = (
    Column("mean", "Mean score", "score"),
    Column("low", "95 % from", "score", is_detail=True),
    Column("high", "95 % to", "score", is_detail=True),
    Column("answered", "Answers"),
    Column("sent", "Surveys sent"),
    Column("rate", "Response rate", "share"),
)


def student_t(freedom: int) -> float:
    """The 0.975 quantile of Student's t, to four digits.

    Expansion of Cornish and Fisher: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if freedom in _T:
        return _T[freedom]
    x = NormalDist().inv_cdf(0.975)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


async def overall(session: AsyncSession, filters: Filters) -> Scores:
    """Of all surveys that the filters name."""
    row = (await session.execute(sent(select(*_sums()), filters))).one()
    return _scores(row)


async def csat(session: AsyncSession, filters: Filters) -> Table:
    """CSAT per day on which surveys were sent."""
    day = filters.period.day_number(col(Survey.sent_at)).label("key")
    found = {day_of(key): scores for key, scores in (await _grouped(session, filters, day)).items()}
    rows = [{"day": day, **found.get(day, Scores()).row()} for day in filters.period.days()]
    return Table("csat", [Column("day", "Day", "day"), *COLUMNS], rows)


async def csat_agents(session: AsyncSession, filters: Filters) -> Table:
    """CSAT per agent, as kept when the survey was sent."""
    return await _named(session, filters, "csat_agents", Column("name", "Agent", "text"), Survey.agent_id, Agent)


async def csat_teams(session: AsyncSession, filters: Filters) -> Table:
    """CSAT per team, as kept when the survey was sent."""
    return await _named(session, filters, "csat_teams", Column("name", "Team", "text"), Survey.team_id, Team)


async def csat_channels(session: AsyncSession, filters: Filters) -> Table:
    """CSAT per channel."""
    return await _named(
        session, filters, "csat_channels", Column("name", "Channel", "text"), Survey.channel_id, Channel
    )


def sent(query: Select[*tuple[Any, ...]], filters: Filters, kind: str = "csat") -> Select[Any]:
    """Restrict a query to the surveys that the filters name, by the time of sending (index `ix_survey_sent`); of one
    kind, or of all where `kind` is empty: scores of different scales have no mean."""
    query = query.select_from(Survey).where(filters.period.holds(col(Survey.sent_at)))
    if kind:
        query = query.where(col(Survey.kind) == kind)
    if filters.channel_id is not None:
        query = query.where(matches(col(Survey.channel_id), filters.channel_id))
    if filters.team_id is not None:
        query = query.where(matches(col(Survey.team_id), filters.team_id))
    if filters.language:
        query = query.where(col(Survey.language) == filters.language)
    return query


async def _named(
    session: AsyncSession, filters: Filters, name: str, column: Column, key: Any, table: type[Agent | Team | Channel]
) -> Table:
    found = await _grouped(session, filters, col(key).label("key"))
    numbers = [number for number in found if number is not None]
    query = select(col(table.id), col(table.name)).where(col(table.id).in_(numbers))
    names: Mapping[int | None, str] = {row[0]: row[1] for row in await session.execute(query)}
    order = sorted(found, key=lambda number: (-found[number].answered, names.get(number, "").casefold()))
    rows = [{"name": names.get(number, ""), "id": number, **found[number].row()} for number in order]
    return Table(name, [column, *COLUMNS], rows)


async def _grouped(session: AsyncSession, filters: Filters, key: ColumnElement[Any]) -> dict[Any, Scores]:
    query = sent(select(key, *_sums()), filters).group_by("key")
    return {row[0]: _scores(row[1:]) for row in await session.execute(query)}


def _sums() -> tuple[ColumnElement[int], ...]:
    score = col(Survey.score)
    return func.count(), func.count(score), func.coalesce(func.sum(score), 0), func.coalesce(func.sum(score * score), 0)


def _scores(row: Any) -> Scores:
    return Scores(*(int(value) for value in row))
