"""Incoming messages: how many, in which mood, complaining, in which language."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, case, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.reports.filters import PENDING, SENTIMENTS, UNSURE, Filters, matches
from socialcrm.reports.period import day_of
from socialcrm.reports.tables import Column, Table, share


async def volume(session: AsyncSession, filters: Filters) -> Table:
    """Messages received per day and channel."""
    day = filters.period.day_number(col(Message.sent_at)).label("day")
    query = select(day, col(Message.channel_id), func.count()).group_by("day", col(Message.channel_id))
    counts = Counter({(day_of(row[0]), row[1]): row[2] for row in await session.execute(received(query, filters))})
    channels = await _channel_names(session, {channel_id for _, channel_id in counts})
    rows = [
        {
            "day": day,
            **{f"channel_{c}": counts[day, c] for c in channels},
            "total": sum(counts[day, c] for c in channels),
        }
        for day in filters.period.days()
    ]
    named = [Column(f"channel_{number}", name, is_name=True) for number, name in channels.items()]
    return Table("volume", [Column("day", "Day", "day"), *named, Column("total", "All channels")], rows)


async def sentiment(session: AsyncSession, filters: Filters) -> Table:
    """Messages received per day and sentiment, with shares of all of that day; the unsure ones stay visible."""
    counts = await _per_day(session, filters, sentiment_label())
    rows = []
    for day in filters.period.days():
        found = counts[day]
        total = found.total()
        shares = {f"{label}_share": share(found[label], total) for label in SENTIMENTS}
        rows.append({"day": day, **{label: found[label] for label in SENTIMENTS}, **shares, "total": total})
    titles = {
        "positive": "Positive",
        "neutral": "Neutral",
        "negative": "Negative",
        UNSURE: "Unsure",
        PENDING: "Not read yet",
    }
    columns = [
        Column("day", "Day", "day"),
        *(Column(label, titles[label]) for label in SENTIMENTS),
        Column("total", "All"),
    ]
    columns += [
        Column("positive_share", "Positive share", "share"),
        Column("negative_share", "Negative share", "share"),
    ]
    return Table("sentiment", columns, rows)


async def complaints(session: AsyncSession, filters: Filters) -> Table:
    """Complaints received per day and their share of all messages of that day."""
    counts = await _per_day(session, filters, complaint_label())
    rows = []
    for day in filters.period.days():
        found, total = counts[day], counts[day].total()
        rows.append(
            {
                "day": day,
                "complaints": found["yes"],
                "share": share(found["yes"], total),
                UNSURE: found[UNSURE],
                "total": total,
            }
        )
    columns = [
        Column("day", "Day", "day"),
        Column("complaints", "Complaints"),
        Column("share", "Share of messages", "share"),
        Column(UNSURE, "Unsure"),
        Column("total", "All messages"),
    ]
    return Table("complaints", columns, rows)


async def languages(session: AsyncSession, filters: Filters) -> Table:
    """Messages received per language, most first."""
    label = language_label().label("spoken")  # not the name of a column: GROUP BY would take that one
    found = await session.execute(received(select(label, func.count()).group_by("spoken"), filters, with_analysis=True))
    counts = sorted(((row[0], row[1]) for row in found), key=lambda pair: (-pair[1], pair[0]))
    total = sum(count for _, count in counts)
    rows = [{"language": name, "count": count, "share": share(count, total)} for name, count in counts]
    columns = [Column("language", "Language", "label"), Column("count", "Messages"), Column("share", "Share", "share")]
    return Table("languages", columns, rows)


async def used_languages(session: AsyncSession, filters: Filters) -> list[str]:
    """Languages that the messages of the period are in, for the filter bar."""
    query = select(col(Analysis.language)).distinct()
    every = Filters(filters.period)
    return sorted((await session.execute(received(query, every, with_analysis=True))).scalars().all(), key=str)


def received(query: Select[*tuple[Any, ...]], filters: Filters, *, with_analysis: bool = False) -> Select[Any]:
    """Restrict a query to the incoming messages that the filters name; joins what they need and nothing else.

    The range over (direction, sent_at) is served by `ix_message_sent`, so the cost follows the messages of the period
    and not those of the table.
    """
    query = query.select_from(Message).where(
        col(Message.direction) == literal(Direction.IN.value),
        filters.period.holds(col(Message.sent_at)),
        col(Message.is_choice).is_(False),  # counted with the question that it answers
    )
    if filters.channel_id is not None:
        query = query.where(matches(col(Message.channel_id), filters.channel_id))
    if filters.team_id is not None:
        query = query.join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        query = query.where(matches(col(Conversation.team_id), filters.team_id))
    if with_analysis or filters.language:
        query = query.outerjoin(Analysis, col(Analysis.message_id) == col(Message.id))
    if filters.language:
        query = query.where(language_label() == filters.language)
    return query


def sentiment_label() -> ColumnElement[str]:
    """The sentiment of a message as reports count it."""
    return case(
        (col(Analysis.message_id).is_(None), PENDING),
        (_is_unsure("sentiment"), UNSURE),
        else_=col(Analysis.sentiment),
    )


def complaint_label() -> ColumnElement[str]:
    """Whether a message is a complaint as reports count it: yes, no, unsure, pending."""
    return case(
        (col(Analysis.message_id).is_(None), PENDING),
        (_is_unsure("complaint"), UNSURE),
        (col(Analysis.is_complaint), "yes"),
        else_="no",
    )


def language_label() -> ColumnElement[str]:
    """The language of a message as reports count it."""
    return case(
        (col(Analysis.message_id).is_(None), PENDING),
        (_is_unsure("language"), UNSURE),
        else_=col(Analysis.language),
    )


def _is_unsure(field: str) -> ColumnElement[bool]:
    """Whether the list of unsure fields has this one: JSON read as text, which both databases can."""
    return cast(col(Analysis.unsure), Text).like(f'%"{field}"%')


async def _per_day(
    session: AsyncSession, filters: Filters, label: ColumnElement[str]
) -> defaultdict[date, Counter[str]]:
    day = filters.period.day_number(col(Message.sent_at)).label("day")
    query = select(day, label.label("label"), func.count()).group_by("day", "label")
    counts: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for number, name, count in await session.execute(received(query, filters, with_analysis=True)):
        counts[day_of(number)][name] += count
    return counts


async def _channel_names(session: AsyncSession, numbers: Iterable[int]) -> dict[int, str]:
    """Names of channels by number, in the order of their names; two of one name are told apart by their number."""
    found = (await session.execute(select(Channel).where(col(Channel.id).in_(list(numbers))))).scalars().all()
    names = Counter(channel.name for channel in found)
    named = {c.id or 0: c.name if names[c.name] == 1 else f"{c.name} ({c.id})" for c in found}
    return dict(sorted(named.items(), key=lambda pair: (pair[1].casefold(), pair[0])))
