"""Promises as the inbox shows them: how long there is left to answer, and what became of earlier ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.sla import Measure, Notice, Sla, SlaPolicy, SlaStatus

COUNTED = 100


@dataclass(frozen=True)
class Countdown:
    """One promise at a time: how it stands in one word, and how long is left, or how late it is."""

    row: Sla
    state: str
    """running, risk, late, paused; of one that ended met, missed or dropped."""
    left: timedelta
    policy: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it ended."""
        return self.row.ended_at is not None

    @property
    def is_answer(self) -> bool:
        """Whether an answer was promised, and not a resolution."""
        return self.row.measure != Measure.RESOLUTION

    @property
    def tone(self) -> str:
        """The class of its badge."""
        tones = {"late": "badge-bad", "missed": "badge-bad", "risk": "badge-caution", "met": "badge-positive"}
        return tones.get(self.state, "badge-outline")

    @property
    def symbol(self) -> str:
        """Its icon, unlike those of the other states."""
        symbols = {"late": "urgent", "missed": "close", "risk": "warning", "met": "check", "paused": "dot"}
        return symbols.get(self.state, "clock")


def countdown(row: Sla, now: datetime, policy: str = "") -> Countdown:
    """How a promise stands."""
    ended = {SlaStatus.MET: "met", SlaStatus.LATE: "missed", SlaStatus.DROPPED: "dropped"}
    if row.status in list(ended):
        return Countdown(row, ended[SlaStatus(row.status)], timedelta(), policy)
    if row.status == SlaStatus.PAUSED or row.due_at is None:
        return Countdown(row, "late" if row.breached_at else "paused", timedelta(), policy)
    left = row.due_at - now
    if left <= timedelta():
        return Countdown(row, "late", -left, policy)
    return Countdown(row, "risk" if row.risk_at and row.risk_at <= now else "running", left, policy)


async def most_pressing(session: AsyncSession, numbers: Iterable[int], now: datetime) -> dict[int, Countdown]:
    """The promise that runs out first, of each conversation that has one."""
    found: defaultdict[int, list[Sla]] = defaultdict(list)
    query = select(Sla).where(col(Sla.conversation_id).in_(list(numbers)), col(Sla.ended_at).is_(None))
    for row in (await session.execute(query)).scalars():
        found[row.conversation_id].append(row)
    return {number: countdown(_first(rows), now) for number, rows in found.items()}


async def promises_of(session: AsyncSession, number: int, now: datetime) -> Sequence[Countdown]:
    """All promises of a conversation, those that run first."""
    query = (
        select(Sla, col(SlaPolicy.name))
        .join(SlaPolicy, col(SlaPolicy.id) == col(Sla.policy_id))
        .where(col(Sla.conversation_id) == number)
        .order_by(col(Sla.started_at).desc(), col(Sla.id).desc())
        .limit(30)
    )
    found = [countdown(row, now, name) for row, name in (await session.execute(query)).all()]
    return sorted(found, key=lambda item: (item.is_over, not item.is_answer if not item.is_over else False))


def _first(rows: Sequence[Sla]) -> Sla:
    """The one that is due first; those that stand still come last."""
    return min(rows, key=lambda row: (row.due_at is None, row.due_at or row.started_at, row.id or 0))


async def unseen(session: AsyncSession, agent_id: int) -> int:
    """How many notices somebody has not seen, counted up to COUNTED."""
    some = select(col(Notice.id)).where(col(Notice.agent_id) == agent_id, col(Notice.seen_at).is_(None)).limit(COUNTED)
    return (await session.scalar(select(func.count()).select_from(some.subquery()))) or 0
