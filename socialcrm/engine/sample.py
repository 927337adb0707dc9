"""Sample: each week some messages are drawn at random, which people judge without seeing the analysis.

What agents correct in the inbox is mostly what is wrong; only a random sample says how often the model is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, cast, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.columns import BIG
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.teaching import Correction, SampleItem, Source, questions
from socialcrm.domain.week import Week
from socialcrm.engine.correct import correct, undo
from socialcrm.engine.line import Line

SIZE = 50
"""Messages of a week."""
PRIME = 2**31 - 1


@dataclass(frozen=True)
class Progress:
    """How far the sample of a week is judged."""

    week: str
    count: int
    labelled: int
    skipped: int

    @property
    def monday(self) -> date:
        """The first day of the week."""
        return datetime.strptime(f"{self.week}-1", "%G-W%V-%u").date()

    @property
    def left(self) -> int:
        """Messages that nobody has judged or skipped."""
        return self.count - self.labelled - self.skipped


@dataclass(frozen=True)
class Turn:
    """The message to judge next: the question to ask, and the answers so far."""

    item: SampleItem
    message: Message
    field: str
    answers: Mapping[str, str]


class NothingToUndo(Exception):
    """The agent has not judged or skipped anything of this week."""


async def draw_last_week(line: Line) -> int:
    """Draw the sample of the last whole week unless it is there; how many messages were drawn."""
    week = Week.of(line.now(), ZoneInfo(line.settings.engagement.time_zone)).before()
    async with line.database.read() as session:
        if await is_drawn(session, week):
            return 0
    try:
        async with line.database.write() as session:
            return await draw(session, week)
    except IntegrityError:
        return 0  # another process has drawn the very same


async def is_drawn(session: AsyncSession, week: Week) -> bool:
    """Whether there is a sample of a week."""
    query = select(col(SampleItem.id)).where(col(SampleItem.week) == week.key).limit(1)
    return await session.scalar(query) is not None


async def draw(session: AsyncSession, week: Week) -> int:
    """Draw the sample of a week unless it is there: each language has its share of it, at least one message, and the
    same messages are drawn whoever draws. How many messages were drawn."""
    if await is_drawn(session, week):
        return 0
    language = col(Analysis.language)
    counts = await session.execute(_of_week(select(language, func.count()), week).group_by(language))
    found: list[tuple[int, int]] = []
    for name, size in allot({row[0]: row[1] for row in counts}, SIZE).items():
        turn = _shuffled(week)
        query = _of_week(select(turn, col(Message.id)), week).where(language == name)
        found += [(row[0], row[1]) for row in await session.execute(query.order_by(turn, col(Message.id)).limit(size))]
    drawn = [number for _, number in sorted(found)]
    rows = [{"week": week.key, "place": place, "message_id": number} for place, number in enumerate(drawn)]
    await insert_rows(session, SampleItem, rows)
    return len(drawn)


def allot(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Share `size` places out in proportion to `counts`, by largest remainders, with at least one for each that has
    any; never more than there are."""
    total = sum(counts.values())
    if total <= size:
        return dict(counts)
    exact = {name: size * count / total for name, count in counts.items() if count}
    given = {name: max(int(share), 1) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: (given[name] - exact[name], name)):
        if sum(given.values()) < size:
            given[name] += 1
    while sum(given.values()) > size:
        given[max((n for n in given if given[n] > 1), key=lambda name: (given[name] - exact[name], name))] -= 1
    return given


async def progress(session: AsyncSession) -> Progress | None:
    """How far the newest sample is judged; None while there is none."""
    week = await session.scalar(select(func.max(col(SampleItem.week))))
    if week is None:
        return None
    counts = select(func.count(), func.count(col(SampleItem.labelled_at)), func.count(col(SampleItem.skipped_at)))
    row = (await session.execute(counts.where(col(SampleItem.week) == week))).one()
    return Progress(week, row[0], row[1], row[2])


async def next_turn(session: AsyncSession, week: str) -> Turn | None:
    """What to ask next about the sample of a week; None when all is judged or skipped."""
    query = (
        select(SampleItem, Message)
        .join(Message, col(Message.id) == col(SampleItem.message_id))
        .where(
            col(SampleItem.week) == week, col(SampleItem.labelled_at).is_(None), col(SampleItem.skipped_at).is_(None)
        )
        .order_by(col(SampleItem.place))
        .limit(1)
    )
    row = (await session.execute(query)).first()
    if row is None:
        return None
    item, message = row
    answers = await _answers(session, item)
    field = next((field for field in questions(answers) if field not in answers), "language")
    return Turn(item, message, field, answers)


async def answer(session: AsyncSession, line: Line, item: SampleItem, field: str, label: str, agent: Agent) -> None:
    """Keep one answer; the message is judged when its last question is answered. Raises CannotCorrect."""
    message = await session.get_one(Message, item.message_id)
    await correct(session, line, message, {field: label}, agent, Source.SAMPLE)
    answers = await _answers(session, item)
    item.agent_id = agent.id
    item.skipped_at = None
    item.labelled_at = line.now() if all(name in answers for name in questions(answers)) else None


def skip(item: SampleItem, line: Line, agent: Agent) -> None:
    """Leave a message out: nobody can tell what it means."""
    item.agent_id, item.skipped_at = agent.id, line.now()


async def undo_last(session: AsyncSession, line: Line, week: str, agent: Agent) -> None:
    """Take back the agent's last answer or skip in the sample of a week; raises NothingToUndo."""
    of_week = select(SampleItem, Correction).outerjoin(
        Correction,
        (col(Correction.message_id) == col(SampleItem.message_id)) & (col(Correction.source) == Source.SAMPLE.value),
    )
    mine = or_(col(Correction.agent_id) == agent.id, col(SampleItem.skipped_at).is_not(None))
    query = of_week.where(col(SampleItem.week) == week, col(SampleItem.agent_id) == agent.id, mine)
    steps: list[tuple[datetime, int, int, SampleItem, Correction | None]] = []
    for item, said in (await session.execute(query)).all():
        if item.skipped_at:
            steps.append((item.skipped_at, item.place, -1, item, None))
        if said:
            steps.append((said.made_at, item.place, said.id or 0, item, said))
    if not steps:
        raise NothingToUndo
    *_, item, taken_back = max(steps, key=lambda step: step[:3])
    item.labelled_at = item.skipped_at = None
    if taken_back is not None:
        message = await session.get_one(Message, item.message_id)
        await undo(session, line, message, Source.SAMPLE, (taken_back.field,))


async def _answers(session: AsyncSession, item: SampleItem) -> dict[str, str]:
    query = select(col(Correction.field), col(Correction.label)).where(
        col(Correction.message_id) == item.message_id, col(Correction.source) == Source.SAMPLE.value
    )
    return {field: label for field, label in (await session.execute(query)).all()}


def _of_week(query: Select[*tuple[Any, ...]], week: Week) -> Select[Any]:
    return (
        query.select_from(Message)
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .where(
            col(Message.direction) == Direction.IN.value,
            col(Message.sent_at) >= week.starts_at,
            col(Message.sent_at) < week.ends_at,
            col(Message.deleted_at).is_(None),
            col(Message.text) != "",
        )
    )


def _shuffled(week: Week) -> ColumnElement[int]:
    """A number from which nobody can tell a message: its own, mixed with the week's. The square keeps numbers that
    follow each other from staying at one distance; all products fit into 63 bits."""
    seed = crc32(week.key.encode()) % PRIME
    mixed = (cast(col(Message.id), BIG) % PRIME * seed + seed) % PRIME
    return mixed * mixed % PRIME
