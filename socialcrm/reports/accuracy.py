"""How often the model is right, as far as people have said: by field, language, channel, label and model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.likelihood import FEW, wilson
from socialcrm.domain.message import Analysis, Message
from socialcrm.domain.teaching import LABELS, Correction, Source

DIMENSIONS = ("language", "channel", "model")


@dataclass
class Tally:
    """How many judgements, and how many of them say that the model was right."""

    count: int = 0
    right: int = 0

    def add(self, count: int, is_right: bool) -> None:
        """Take further judgements in."""
        self.count += count
        self.right += count if is_right else 0

    @property
    def is_few(self) -> bool:
        """Whether there are too few to say a share."""
        return self.count < FEW

    @property
    def share(self) -> float | None:
        """The share that is right, 0 to 1; None of too few."""
        return None if self.is_few else self.right / self.count

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the share (Wilson's); None of too few."""
        return None if self.is_few else wilson(self.right, self.count)

    def figures(self) -> dict[str, object]:
        """As JSON; `share` and `interval` are null of too few."""
        return {"count": self.count, "right": self.right, "share": self.share, "interval": self.interval}


@dataclass
class Group:
    """One language, channel or model: a tally per field."""

    name: str
    fields: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in LABELS})


@dataclass
class OfLabel:
    """One label of the field `name`. `found`: of the messages that are it, how many the model called so (recall);
    `said`: of those that the model called so, how many are it (precision)."""

    name: str
    label: str
    found: Tally = field(default_factory=Tally)
    said: Tally = field(default_factory=Tally)


@dataclass
class Accuracy:
    """What the judgements of one source say."""

    total: Group = field(default_factory=lambda: Group(""))
    groups: dict[str, list[Group]] = field(default_factory=dict)
    """dimension -> its groups, most judgements first."""
    labels: list[OfLabel] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        """As JSON."""

        def of(group: Group) -> dict[str, object]:
            return {name: tally.figures() for name, tally in group.fields.items()}

        return {
            "fields": of(self.total),
            **{name: {group.name: of(group) for group in groups} for name, groups in self.groups.items()},
            "label": [
                {"field": row.name, "label": row.label, "found": row.found.figures(), "said": row.said.figures()}
                for row in self.labels
            ],
        }


async def accuracy(session: AsyncSession, since: datetime | None = None) -> Mapping[Source, Accuracy]:
    """What people said since a time, the blind sample and the inbox apart: agents correct mostly what is wrong, so only
    the sample says how often the model is right."""
    query = (
        select(
            col(Correction.source),
            col(Correction.field),
            col(Correction.label),
            col(Correction.predicted),
            col(Analysis.language),
            col(Channel.name),
            col(Correction.model),
            func.count(),
        )
        .join(Message, col(Message.id) == col(Correction.message_id))
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .join(Channel, col(Channel.id) == col(Message.channel_id))
        .where(col(Correction.predicted) != "")
        .group_by(
            col(Correction.source),
            col(Correction.field),
            col(Correction.label),
            col(Correction.predicted),
            col(Analysis.language),
            col(Channel.name),
            col(Correction.model),
        )
    )
    if since is not None:
        query = query.where(col(Correction.made_at) >= since)
    rows = (await session.execute(query)).all()
    return {source: _of([row for row in rows if row[0] == source]) for source in Source}


def _of(rows: Sequence[Row[str, str, str, str, str, str, str, int]]) -> Accuracy:
    made = Accuracy()
    groups: dict[str, dict[str, Group]] = {name: {} for name in DIMENSIONS}
    labels: dict[tuple[str, str], OfLabel] = {}
    for _, name, label, predicted, language, channel, model, count in rows:
        if name not in LABELS:
            continue
        is_right = label == predicted
        made.total.fields[name].add(count, is_right)
        for dimension, key in zip(DIMENSIONS, (language, channel, model), strict=True):
            groups[dimension].setdefault(key, Group(key)).fields[name].add(count, is_right)
        labels.setdefault((name, label), OfLabel(name, label)).found.add(count, is_right)
        labels.setdefault((name, predicted), OfLabel(name, predicted)).said.add(count, is_right)
    for dimension, found in groups.items():
        made.groups[dimension] = sorted(found.values(), key=lambda group: (-_size(group), group.name))
    order = {(name, label): (place, n) for place, name in enumerate(LABELS) for n, label in enumerate(LABELS[name])}
    made.labels = [labels[key] for key in sorted(labels, key=lambda key: (order.get(key, (99, 0)), key))]
    return made


def _size(group: Group) -> int:
    return sum(tally.count for tally in group.fields.values())
