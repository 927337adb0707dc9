"""Drift: whether what the model says of the last seven days is unlike what it said of the four weeks before."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.likelihood import stability_parts
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.domain.teaching import LABELS
from socialcrm.reports.period import EPOCH, Period

ALARM = 0.2
"""From this stability index on, a shift is commonly called significant (N. Siddiqi, Credit Risk Scorecards, 2006)."""
LEAST = 200
"""Messages on each side below which nothing is said."""
REFERENCE = 4
"""Weeks that a week is compared with: those before it."""
FELL = 0.05
"""A mean score that falls by so much says that the texts are new to the model."""


@dataclass
class Counts:
    """What was said of one field in one week and group."""

    labels: Counter[str] = field(default_factory=Counter)
    scores: float = 0.0

    def add(self, label: str, count: int, scores: float) -> None:
        """Take further messages in; `scores` is the sum of theirs."""
        self.labels[label] += count
        self.scores += scores

    @property
    def count(self) -> int:
        """Messages."""
        return self.labels.total()

    @property
    def score(self) -> float:
        """The mean score."""
        return self.scores / self.count if self.count else 0.0


@dataclass(frozen=True)
class Shift:
    """One field in one group of messages: a week beside the four before. Shares and scores lie between 0 and 1."""

    week: date
    """Its last day."""
    dimension: str
    """"all", "channel" or "language"."""
    group: str
    field: str
    count: int
    reference: int
    index: float
    """The population stability index."""
    label: str
    """The label that adds the most to the index."""
    before: float
    share: float
    score_before: float
    score: float

    @property
    def is_measured(self) -> bool:
        """Whether there are messages enough on both sides."""
        return min(self.count, self.reference) >= LEAST

    @property
    def is_alarm(self) -> bool:
        """Whether somebody should look."""
        return self.is_measured and self.index > ALARM

    @property
    def has_weaker_scores(self) -> bool:
        """Whether the model is less sure than it was, which speaks for new texts rather than for a real event."""
        return self.score < self.score_before - FELL


async def drift(session: AsyncSession, now: datetime, zone: ZoneInfo, weeks: int = 1) -> list[Shift]:
    """The shifts of the last `weeks` weeks, newest week first; a week is seven whole days, the last ends yesterday."""
    last = now.astimezone(zone).date() - timedelta(days=1)
    blocks = weeks + REFERENCE
    period = Period(last - timedelta(days=7 * blocks - 1), last, zone)
    counts = await _counts(session, period)
    shifts = []
    for place in range(blocks - 1, REFERENCE - 1, -1):
        ends = period.first + timedelta(days=7 * place + 6)
        for (dimension, group), fields in counts.items():
            for name in LABELS:
                found = fields[name][place]
                reference = _sum(fields[name][place - REFERENCE : place])
                if found.count and name != dimension:
                    shifts.append(_shift(ends, dimension, group, name, found, reference))
    return shifts


def alarms(shifts: Iterable[Shift]) -> list[Shift]:
    """What somebody should look at in the newest week, the largest shift first. A channel or language is named only
    where the same field has not moved in all messages."""
    found = list(shifts)
    newest = max((shift.week for shift in found), default=None)
    loud = [shift for shift in found if shift.is_alarm and shift.week == newest]
    everywhere = {shift.field for shift in loud if shift.dimension == "all"}
    kept = [shift for shift in loud if shift.dimension == "all" or shift.field not in everywhere]
    return sorted(kept, key=lambda shift: -shift.index)


Groups = Mapping[tuple[str, str], Mapping[str, Sequence[Counts]]]
"""(dimension, group) -> field -> one entry per week, oldest first."""


async def _counts(session: AsyncSession, period: Period) -> Groups:
    """One pass over the period: all fields together have few enough combinations of labels."""
    first = (period.first - EPOCH).days
    blocks = len(list(period.days())) // 7
    week = ((period.day_number(col(Message.sent_at)) - first) // 7).label("week")
    labels = (
        col(Analysis.language),
        col(Analysis.sentiment),
        col(Analysis.is_complaint),
        col(Analysis.intent),
        col(Analysis.reason),
    )
    scores = (
        func.sum(col(Analysis.language_score)),
        func.sum(col(Analysis.sentiment_score)),
        func.sum(col(Analysis.complaint_score)),
        func.sum(col(Analysis.intent_score)),
        func.sum(col(Analysis.reason_score)),
    )
    query: Any = (
        select(week, col(Channel.name), *labels, func.count(), *scores)
        .select_from(Message)
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .join(Channel, col(Channel.id) == col(Message.channel_id))
        .where(col(Message.direction) == literal(Direction.IN.value), period.holds(col(Message.sent_at)))
        .group_by("week", col(Channel.name), *labels)
    )
    found: defaultdict[tuple[str, str], dict[str, list[Counts]]] = defaultdict(
        lambda: {name: [Counts() for _ in range(blocks)] for name in LABELS}
    )
    for row in (await session.execute(query)).all():
        place, channel, language, sentiment, is_complaint, intent, reason, count, *sums = row
        said = (language, sentiment, "complaint" if is_complaint else "other", intent, reason)
        for group in (("all", ""), ("channel", channel), ("language", language)):
            for name, label, scored in zip(LABELS, said, sums, strict=True):
                if name != "reason" or (is_complaint and label):
                    found[group][name][int(place)].add(label, count, scored or 0.0)
    return dict(sorted(found.items()))


def _sum(parts: Sequence[Counts]) -> Counts:
    whole = Counts()
    for part in parts:
        whole.labels.update(part.labels)
        whole.scores += part.scores
    return whole


def _shift(ends: date, dimension: str, group: str, name: str, found: Counts, reference: Counts) -> Shift:
    parts = stability_parts(found.labels, reference.labels)
    label = max(parts, key=lambda label: parts[label])
    if name == "complaint":
        label = "complaint"  # of two labels one says it all
    return Shift(
        ends,
        dimension,
        group,
        name,
        found.count,
        reference.count,
        sum(parts.values()),
        label,
        _share(reference, label),
        _share(found, label),
        reference.score,
        found.score,
    )


def _share(counts: Counts, label: str) -> float:
    return counts.labels[label] / counts.count if counts.count else 0.0
