"""Promises to customers: how many were kept, in time, by measure, team, channel and day; and how long answers took.

A promise counts on the day on which it began. Kept is one that ended in time, broken one whose time was over, ended or
not; the share is of those two. What runs still, and what was not needed any more, is in neither.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.sla import RISK, Measure, Sla, SlaPolicy, SlaStatus
from socialcrm.reports.filters import FilterError, Filters, matches
from socialcrm.reports.period import day_of
from socialcrm.reports.rows import PAGE, Place, Rows
from socialcrm.reports.tables import Column, Table, share

STATES = ("met", "broken", "risk", "running", "dropped")
COUNTS = (
    Column("started", "Promises"),
    Column("met", "Kept"),
    Column("broken", "Broken"),
    Column("risk", "At risk now"),
    Column("share", "Kept in time", "share"),
)
TIMES = (
    Column("median", "Median (working time)", "seconds"),
    Column("p90", "90 % (working time)", "seconds"),
    Column("median_wall", "Median (all hours)", "seconds"),
    Column("p90_wall", "90 % (all hours)", "seconds"),
)
QUANTILES = (("median", 5), ("p90", 9))


async def sla(session: AsyncSession, filters: Filters) -> Table:
    """Promises per day on which they began."""
    day = filters.period.day_number(col(Sla.started_at)).label("key")
    found = {day_of(key): row for key, row in (await _counts(session, filters, day)).items()}
    rows = [{"day": day, **(found.get(day) or _figures({}))} for day in filters.period.days()]
    return Table("sla", [Column("day", "Day", "day"), *COUNTS], rows)


async def sla_measures(session: AsyncSession, filters: Filters) -> Table:
    """Promises by what was promised, with how long it took in working time and by the clock on the wall."""
    key: ColumnElement[Any] = col(Sla.measure).label("key")
    found, times = await _counts(session, filters, key), await _times(session, filters, key)
    none = dict.fromkeys((column.key for column in TIMES), None)
    rows = [
        {"measure": measure.value, "id": measure.value, **found[measure.value], **none, **times.get(measure, {})}
        for measure in Measure
        if measure.value in found
    ]
    return Table("sla_measures", [Column("measure", "Promise", "label"), *COUNTS, *TIMES], rows)


async def sla_teams(session: AsyncSession, filters: Filters) -> Table:
    """Promises by team, and how long first answers took."""
    return await _named(session, filters, "sla_teams", Column("name", "Team", "text"), Sla.team_id, Team)


async def sla_channels(session: AsyncSession, filters: Filters) -> Table:
    """Promises by channel, and how long first answers took."""
    return await _named(session, filters, "sla_channels", Column("name", "Channel", "text"), Sla.channel_id, Channel)


def promised(query: Select[*tuple[Any, ...]], filters: Filters, state: str = "", measure: str = "") -> Select[Any]:
    """Restrict a query to the promises that the filters name, by when they began (index `ix_sla_started`); raises
    FilterError."""
    if state and state not in STATES:
        raise FilterError(f"state should be one of {', '.join(STATES)}.")
    if measure and measure not in list(Measure):
        raise FilterError(f"measure should be one of {', '.join(Measure)}.")
    query = query.select_from(Sla).where(filters.period.holds(col(Sla.started_at)))
    if filters.channel_id is not None:
        query = query.where(matches(col(Sla.channel_id), filters.channel_id))
    if filters.team_id is not None:
        query = query.where(matches(col(Sla.team_id), filters.team_id))
    if filters.language:
        query = query.join(Conversation, col(Conversation.id) == col(Sla.conversation_id))
        query = query.where(col(Conversation.language) == filters.language)
    if state:
        query = query.where(_state() == state)
    return query.where(col(Sla.measure) == measure) if measure else query


async def promises(
    session: AsyncSession, filters: Filters, place: Place | None = None, state: str = "", measure: str = ""
) -> Rows:
    """One page of promises, the newest first; rows have Sla, state, policy, channel, contact, agent, team."""
    columns: tuple[Any, ...] = (
        _state().label("state"),
        col(SlaPolicy.name).label("policy"),
        col(Channel.name).label("channel"),
        col(Contact.name).label("contact"),
        col(Agent.name).label("agent"),
        col(Team.name).label("team"),
    )
    query = promised(select(Sla, *columns), filters, state, measure)
    if not filters.language:
        query = query.join(Conversation, col(Conversation.id) == col(Sla.conversation_id))
    query = query.join(SlaPolicy, col(SlaPolicy.id) == col(Sla.policy_id))
    query = query.join(Channel, col(Channel.id) == col(Sla.channel_id))
    query = query.join(Contact, col(Contact.id) == col(Conversation.contact_id))
    query = query.outerjoin(Agent, col(Agent.id) == col(Sla.agent_id))
    query = query.outerjoin(Team, col(Team.id) == col(Sla.team_id))
    at, number = col(Sla.started_at), col(Sla.id)
    if place:
        query = query.where(at <= place.at, or_(at < place.at, and_(at == place.at, number < place.id)))
    found = (await session.execute(query.order_by(at.desc(), number.desc()).limit(PAGE + 1))).all()
    count = await session.scalar(promised(select(func.count()), filters, state, measure))
    last = found[PAGE - 1][0] if len(found) > PAGE else None
    return Rows(found[:PAGE], count or 0, Place(last.started_at, last.id) if last else None)


def _state() -> ColumnElement[str]:
    """A promise in one word, as reports count it."""
    return case(
        (or_(col(Sla.status) == SlaStatus.LATE.value, col(Sla.breached_at).is_not(None)), "broken"),
        (col(Sla.status) == SlaStatus.MET.value, "met"),
        (col(Sla.status) == SlaStatus.DROPPED.value, "dropped"),
        (and_(col(Sla.status) == SlaStatus.RUNNING.value, col(Sla.percent) >= RISK), "risk"),
        else_="running",
    )


async def _counts(session: AsyncSession, filters: Filters, key: ColumnElement[Any]) -> dict[Any, dict[str, Any]]:
    state = _state().label("state")
    query = promised(select(key, state, func.count()), filters).group_by("key", "state")
    found: dict[Any, dict[str, int]] = {}
    for group, label, count in await session.execute(query):
        found.setdefault(group, {})[label] = count
    return {group: _figures(counts) for group, counts in found.items()}


def _figures(counts: dict[str, int]) -> dict[str, Any]:
    met, broken = counts.get("met", 0), counts.get("broken", 0)
    return {
        "started": sum(counts.values()),
        "met": met,
        "broken": broken,
        "risk": counts.get("risk", 0),
        "share": share(met, met + broken),
    }


async def _times(
    session: AsyncSession, filters: Filters, key: ColumnElement[Any], measure: str = ""
) -> dict[Any, dict[str, float]]:
    """Medians and ninth deciles of what ended by being kept, late or not."""
    found: dict[Any, dict[str, float]] = {}
    kept = col(Sla.status).in_((SlaStatus.MET.value, SlaStatus.LATE.value))
    for column, suffix in ((Sla.business_seconds, ""), (Sla.wall_seconds, "_wall")):
        query = promised(select(key, col(column).label("seconds")), filters, measure=measure)
        for name, tenths in QUANTILES:
            for group, seconds in await session.execute(_quantile(query.where(kept), tenths)):
                found.setdefault(group, {})[f"{name}{suffix}"] = float(seconds)
    return found


def _quantile(query: Select[Any], tenths: int) -> Select[Any]:
    """The median of each group, the mean of two in the middle; or the least value that so many tenths do not exceed."""
    values = query.subquery()
    place = func.row_number().over(partition_by=values.c.key, order_by=values.c.seconds).label("place")
    count = func.count().over(partition_by=values.c.key).label("count")
    placed = select(values.c.key, values.c.seconds, place, count).subquery()
    middle = or_(*(placed.c.place * 2 == placed.c.count + more for more in (0, 1, 2)))  # one row, or two
    nearest = and_(placed.c.place * 10 >= placed.c.count * tenths, (placed.c.place - 1) * 10 < placed.c.count * tenths)
    return (
        select(placed.c.key, func.avg(placed.c.seconds))
        .where(middle if tenths == 5 else nearest)
        .group_by(placed.c.key)
    )


async def _named(
    session: AsyncSession, filters: Filters, name: str, column: Column, key: Any, table: type[Team | Channel]
) -> Table:
    group: ColumnElement[Any] = col(key).label("key")
    found = await _counts(session, filters, group)
    times = await _times(session, filters, group, Measure.FIRST_RESPONSE)
    numbers: Sequence[int] = [number for number in found if number is not None]
    query = select(col(table.id), col(table.name)).where(col(table.id).in_(numbers))
    names: dict[int | None, str] = {row[0]: row[1] for row in await session.execute(query)}
    order = sorted(found, key=lambda number: (-found[number]["started"], names.get(number, "").casefold()))
    none = dict.fromkeys((c.key for c in TIMES), None)
    rows = [
        {"name": names.get(number, ""), "id": number, **found[number], **none, **times.get(number, {})}
        for number in order
    ]
    return Table(name, [column, *COUNTS, *TIMES], rows)
