"""What people talk about in a period: phrases, compared with the period before or with everybody else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import Select, and_, case, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.duplicates import group
from nlp.topics import Trend, topics
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Message
from socialcrm.reports.filters import Filters, matches
from socialcrm.reports.messages import language_label, received, sentiment_label
from socialcrm.reports.period import Period
from socialcrm.reports.tables import Column, Table, share

MOST = 20_000
"""Messages that are read on either side, the newest ones."""
Against: TypeAlias = Literal["before", "others"]
"""Compare with the same filters in the period before, or with the other messages of the same period."""
AGAINST: tuple[Against, ...] = get_args(Against)


@dataclass(frozen=True)
class Said:
    """One message and what is needed of it."""

    id: int
    conversation_id: int
    contact_id: int
    sent_at: datetime
    text: str
    sentiment: str


@dataclass(frozen=True)
class Sample:
    """The messages to look at and those to compare them with, newest first; `is_cut` when there were more."""

    messages: tuple[Said, ...]
    baseline: tuple[Said, ...]
    is_cut: bool


@dataclass(frozen=True)
class Subject:
    """One topic. `change` is that of its share of the messages, None where the baseline has none of it; `moods` counts
    groups by sentiment; `examples` are typical messages, `messages` all of them, newest first, each with how often it
    came with its copies."""

    phrase: str
    count: int
    baseline_count: int
    trend: Trend
    change: float | None
    moods: Mapping[str, int]
    examples: Sequence[tuple[Said, int]]
    messages: Sequence[tuple[Said, int]]


@dataclass(frozen=True)
class Talk:
    """All subjects, and of how many messages, the oldest of them from `since`: those that say the same count once."""

    subjects: Sequence[Subject]
    group_count: int
    baseline_group_count: int
    is_cut: bool
    since: datetime | None = None


def has_others(filters: Filters) -> bool:
    """Whether the filters leave somebody out, so that there are others to compare with."""
    return filters.channel_id is not None or filters.team_id is not None or bool(filters.language)


async def sample(session: AsyncSession, filters: Filters, against: Against = "before") -> Sample:
    """Read the messages of the period, and those to compare them with. Costs what the two periods cost."""
    if against == "before":
        baseline = _said(replace(filters, period=before(filters.period)))
    else:
        everybody = Filters(filters.period)
        baseline = _said(everybody).join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        baseline = baseline.where(case((_is_chosen(filters), 1), else_=0) == 0)
    found = [
        [Said(*row) for row in await session.execute(query.limit(MOST + 1))] for query in (_said(filters), baseline)
    ]
    return Sample(tuple(found[0][:MOST]), tuple(found[1][:MOST]), any(len(rows) > MOST for rows in found))


def before(period: Period) -> Period:
    """The days before a period, as many as it has."""
    length = period.last - period.first + timedelta(days=1)
    return Period(period.first - length, period.last - length, period.zone)


def newest_half(filters: Filters, since: datetime) -> Filters | None:
    """The newest half of the days from `since` to the end of the period, to compare with the other half; None of one
    day."""
    period = filters.period
    days = (period.last - max(since.astimezone(period.zone).date(), period.first)).days + 1
    return filters.on(period.last - timedelta(days=days // 2 - 1), period.last) if days > 1 else None


@lru_cache(maxsize=2)
def talk(sample: Sample, limit: int = 20) -> Talk:
    """Find what the messages are about. Takes up to seconds: call it off the event loop. The last few are kept."""
    everything = [*sample.messages, *sample.baseline]
    texts = [said.text for said in everything]
    groups = group(texts, [said.contact_id for said in everything])
    count = len(sample.messages)
    found = topics(texts[:count], texts[count:], groups=groups, limit=limit)
    copies = Counter(groups[:count])
    subjects = [
        Subject(
            phrase=topic.phrase,
            count=topic.count,
            baseline_count=topic.baseline_count,
            trend=topic.trend,
            change=_change(topic.count, found.group_count, topic.baseline_count, found.baseline_group_count),
            moods=Counter(everything[place].sentiment for place in topic.members),
            examples=[(everything[place], copies[groups[place]]) for place in topic.examples],
            messages=[(everything[place], copies[groups[place]]) for place in sorted(topic.members)],
        )
        for topic in found.found
    ]
    since = sample.messages[-1].sent_at if sample.messages else None
    return Talk(subjects, found.group_count, found.baseline_group_count, sample.is_cut, since)


def table(found: Talk) -> Table:
    """The subjects as a table, for a file."""
    rows = [
        {
            "phrase": subject.phrase,
            "count": subject.count,
            "before": subject.baseline_count,
            "change": subject.change,
            "trend": subject.trend,
            **{f"{mood}_share": share(subject.moods.get(mood, 0), subject.count) for mood in ("positive", "negative")},
            "example": subject.examples[0][0].text if subject.examples else "",
        }
        for subject in found.subjects
    ]
    columns = [
        Column("phrase", "Phrase", "text"),
        Column("count", "Messages"),
        Column("before", "Compared with"),
        Column("change", "Change", "share"),
        Column("trend", "Trend", "label"),
        Column("positive_share", "Positive share", "share"),
        Column("negative_share", "Negative share", "share"),
        Column("example", "Example", "message"),
    ]
    return Table("topics", columns, rows)


def _said(filters: Filters) -> Select[Any]:
    """Messages with the filters, newest first."""
    columns = (Message.id, Message.conversation_id, Message.contact_id, Message.sent_at, Message.text)
    query = received(
        select(*(col(column) for column in columns), sentiment_label().label("mood")), filters, with_analysis=True
    )
    query = query.where(col(Message.deleted_at).is_(None))
    return query.order_by(col(Message.sent_at).desc(), col(Message.id).desc())


def _is_chosen(filters: Filters) -> Any:
    """The condition that the filters, but for the period, choose a message."""
    conditions = []
    if filters.channel_id is not None:
        conditions.append(matches(col(Message.channel_id), filters.channel_id))
    if filters.team_id is not None:
        conditions.append(matches(col(Conversation.team_id), filters.team_id))
    if filters.language:
        conditions.append(language_label() == filters.language)
    return and_(True, *conditions)


def _change(count: int, total: int, before: int, before_total: int) -> float | None:
    part, part_before = share(count, total), share(before, before_total)
    return part / part_before - 1 if part and part_before else None
