"""First answers: how long customers waited for a person."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import AuthorKind, Direction, Message
from socialcrm.reports.filters import Filters, matches
from socialcrm.reports.period import day_of, epoch_seconds
from socialcrm.reports.tables import Column, Table


async def answers(session: AsyncSession, filters: Filters) -> Table:
    """First answers of agents per day they were given, and the median of the waits."""
    day = filters.period.day_number(col(Message.sent_at)).label("day")
    found = await session.execute(_medians(first_answers(select(day, waited().label("waited")), filters).subquery()))
    medians = {day_of(row[0]): (row[1], float(row[2])) for row in found}
    rows = []
    for date in filters.period.days():
        count, median = medians.get(date, (0, None))
        rows.append({"day": date, "count": count, "median": median})
    columns = [
        Column("day", "Day", "day"),
        Column("count", "First answers"),
        Column("median", "Median wait", "seconds"),
    ]
    return Table("answers", columns, rows)


async def overall_wait(session: AsyncSession, filters: Filters) -> tuple[int, float | None]:
    """First answers in the period, and the median wait in seconds."""
    every = first_answers(select(literal(0).label("day"), waited().label("waited")), filters).subquery()
    row = (await session.execute(_medians(every))).first()
    return (row[1], float(row[2])) if row else (0, None)


def first_answers(query: Select[*tuple[Any, ...]], filters: Filters) -> Select[Any]:
    """Restrict a query to the messages with which an agent first answered a conversation; `ix_message_sent` finds the
    outgoing ones of the period and `ix_message_thread` those before each. Left out are conversations that began with a
    message which came late, or which only a watched word found: nobody could have answered those in time."""
    earlier, began = aliased(Message), aliased(Message)
    is_earlier = and_(
        col(earlier.conversation_id) == col(Message.conversation_id),
        col(earlier.direction) != Direction.NOTE.value,  # not "= out": SQLite would walk all that was ever sent
        col(earlier.author_kind) == AuthorKind.AGENT.value,
        or_(
            col(earlier.sent_at) < col(Message.sent_at),
            and_(col(earlier.sent_at) == col(Message.sent_at), col(earlier.id) < col(Message.id)),
        ),
    )
    query = (
        query.select_from(Message)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(
            col(Message.direction) == literal(Direction.OUT.value),
            filters.period.holds(col(Message.sent_at)),
            col(Message.author_kind) == AuthorKind.AGENT.value,
            ~select(col(earlier.id)).where(is_earlier).exists(),
            ~select(col(began.id))
            .where(
                col(began.conversation_id) == col(Message.conversation_id),
                col(began.sent_at) <= col(Conversation.opened_at),
                or_(col(began.is_late), col(began.is_found)),
            )
            .exists(),
        )
    )
    if filters.channel_id is not None:
        query = query.where(matches(col(Message.channel_id), filters.channel_id))
    if filters.team_id is not None:
        query = query.where(matches(col(Conversation.team_id), filters.team_id))
    if filters.language:
        query = query.where(col(Conversation.language) == filters.language)
    return query


def waited() -> ColumnElement[int]:
    """Seconds from the customer's first message to the answer."""
    return epoch_seconds(col(Message.sent_at)) - epoch_seconds(col(Conversation.opened_at))


def _medians(waits: Subquery) -> Select[*tuple[Any, ...]]:
    """Count and median of `waited` per `day`: the mean of the middle row, or of the two in the middle."""
    place = func.row_number().over(partition_by=waits.c.day, order_by=waits.c.waited).label("place")
    count = func.count().over(partition_by=waits.c.day).label("count")
    placed = select(waits.c.day, waits.c.waited, place, count).subquery()
    middle = or_(
        placed.c.place * 2 == placed.c.count,
        placed.c.place * 2 == placed.c.count + 1,
        placed.c.place * 2 == placed.c.count + 2,
    )
    return (
        select(placed.c.day, func.max(placed.c.count), func.avg(placed.c.waited)).where(middle).group_by(placed.c.day)
    )
