"""Complaints that are followed: how many are opened, closed and reopened, how long they take, and why they came."""

from collections import defaultdict
from datetime import date
from statistics import median
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseEvent, CaseStep, Outcome
from socialcrm.domain.conversation import Conversation
from socialcrm.reports.filters import Filters, matches
from socialcrm.reports.period import day_of
from socialcrm.reports.tables import Column, Table, share


async def cases(session: AsyncSession, filters: Filters) -> Table:
    """Per day: opened, closed, brought back by their customers or by us, the median time of the closed ones."""
    opened = await _counted(session, filters, col(Case.opened_at))
    reopened = await _reopened(session, filters)
    closed = defaultdict[date, list[tuple[float, bool]]](list)
    day = filters.period.day_number(col(Case.closed_at))
    for number, start, end, first_due in await session.execute(
        _chosen(select(day, col(Case.opened_at), col(Case.closed_at), col(Case.promised_at)), filters).where(
            filters.period.holds(col(Case.closed_at)), col(Case.outcome) != Outcome.DUPLICATE.value
        )
    ):
        closed[day_of(number)].append(((end - start).total_seconds(), end <= first_due))
    rows = []
    for each in filters.period.days():
        times = closed.get(each, [])
        rows.append(
            {
                "day": each,
                "opened": opened.get(each, 0),
                "closed": len(times),
                "reopened": reopened.get(each, 0),
                "median": median(seconds for seconds, _ in times) if times else None,
                "in_time": share(sum(is_in_time for _, is_in_time in times), len(times)),
            }
        )
    columns = [
        Column("day", "Day", "day"),
        Column("opened", "Opened"),
        Column("closed", "Closed"),
        Column("reopened", "Reopened"),
        Column("median", "Median time to close", "seconds"),
        Column("in_time", "Within the first promise", "share"),
    ]
    return Table("cases", columns, rows)


async def case_causes(session: AsyncSession, filters: Filters) -> Table:
    """Closed cases by root cause, the commonest first: how many, how many of them were reopened, their median time."""
    query = _chosen(
        select(col(Case.cause), col(Case.opened_at), col(Case.closed_at), col(Case.reopened_count)), filters
    ).where(filters.period.holds(col(Case.closed_at)), col(Case.outcome) != Outcome.DUPLICATE.value)
    found = defaultdict[str, list[tuple[float, bool]]](list)
    for cause, start, end, count in await session.execute(query):
        found[cause].append(((end - start).total_seconds(), count > 0))
    rows = [
        {
            "cause": cause or "unknown_cause",
            "key": cause or "none",
            "closed": len(times),
            "reopened_share": share(sum(was_reopened for _, was_reopened in times), len(times)),
            "median": median(seconds for seconds, _ in times),
        }
        for cause, times in sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))
    ]
    columns = [
        Column("cause", "Root cause", "label"),
        Column("closed", "Closed"),
        Column("reopened_share", "Reopened before", "share"),
        Column("median", "Median time to close", "seconds"),
    ]
    return Table("case_causes", columns, rows)


async def _counted(session: AsyncSession, filters: Filters, column: Any) -> dict[date, int]:
    day = filters.period.day_number(column).label("key")
    query = _chosen(select(day, func.count()), filters).where(filters.period.holds(column)).group_by("key")
    return {day_of(key): count for key, count in await session.execute(query)}


async def _reopened(session: AsyncSession, filters: Filters) -> dict[date, int]:
    day = filters.period.day_number(col(CaseEvent.at)).label("key")
    query = _chosen(select(day, func.count(func.distinct(col(Case.id)))), filters)
    query = query.join(CaseEvent, col(CaseEvent.case_id) == col(Case.id))
    query = query.where(col(CaseEvent.kind) == CaseStep.REOPENED.value, filters.period.holds(col(CaseEvent.at)))
    return {day_of(key): count for key, count in await session.execute(query.group_by("key"))}


def _chosen(asked: Select[*tuple[Any, ...]], filters: Filters) -> Select[*tuple[Any, ...]]:
    query = asked.select_from(Case).join(Conversation, col(Conversation.id) == col(Case.conversation_id))
    if filters.channel_id is not None:
        query = query.where(matches(col(Conversation.channel_id), filters.channel_id))
    if filters.team_id is not None:
        query = query.where(matches(col(Case.team_id), filters.team_id))
    if filters.language:
        query = query.where(col(Conversation.language) == filters.language)
    return query
