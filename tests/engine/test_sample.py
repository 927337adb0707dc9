"""The blind sample: drawn at random but always the same, judged question by question, skipped and taken back."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Agent, Analysis, Correction, SampleItem
from socialcrm.domain.week import Week
from socialcrm.engine import sample
from socialcrm.engine.correct import CannotCorrect
from socialcrm.engine.line import Line
from socialcrm.engine.sample import NothingToUndo, Turn, allot
from tests.story import Clock, line_with
from tests.teaching import Archive

ZONE = ZoneInfo("Africa/Algiers")
WEEK = Week(date(2026, 3, 2), ZONE)
WEDNESDAY = datetime(2026, 3, 4, 12, tzinfo=UTC)
AFTER = datetime(2026, 3, 9, 8, tzinfo=UTC)


@pytest.fixture
def late(line: Line) -> Line:
    """The line on the Monday after the week."""
    return line_with(line, Clock(AFTER))


async def fill(line: Line, **counts: int) -> None:
    """Messages of the week, so many of each language."""
    async with line.database.write() as session:
        made = Archive(session, WEDNESDAY)
        for language, count in counts.items():
            await made.messages(count, language=language)


async def drawn(line: Line) -> list[SampleItem]:
    async with line.database.read() as session:
        return list((await session.execute(select(SampleItem).order_by(col(SampleItem.place)))).scalars())


async def agent(line: Line, name: str = "Nadia") -> Agent:
    async with line.database.write() as session:
        row = Agent(email=f"{name}@example.com".lower(), name=name, role="supervisor", created_at=line.now())
        session.add(row)
    return row


async def turn(line: Line) -> Turn | None:
    async with line.database.read() as session:
        return await sample.next_turn(session, WEEK.key)


async def answer(line: Line, who: Agent, label: str) -> None:
    asked = await turn(line)
    assert asked is not None
    async with line.database.write() as session:
        item = await session.get_one(SampleItem, asked.item.id)
        await sample.answer(session, line, item, asked.field, label, who)


async def skip(line: Line, who: Agent) -> None:
    asked = await turn(line)
    assert asked is not None
    async with line.database.write() as session:
        sample.skip(await session.get_one(SampleItem, asked.item.id), line, who)


async def undo(line: Line, who: Agent) -> None:
    async with line.database.write() as session:
        await sample.undo_last(session, line, WEEK.key, who)


async def test_fifty_messages_are_drawn_in_the_proportion_of_the_languages(late: Line) -> None:
    await fill(late, fr=300, ar=150, en=48, other=2)
    assert await sample.draw_last_week(late) == 50
    items = await drawn(late)
    assert [item.place for item in items] == list(range(50))
    assert len({item.message_id for item in items}) == 50
    async with late.database.read() as session:
        query = select(col(Analysis.language)).where(col(Analysis.message_id).in_([item.message_id for item in items]))
        counts = Counter((await session.execute(query)).scalars())
    assert counts == {"fr": 30, "ar": 15, "en": 4, "other": 1}
    numbers = sorted(item.message_id for item in items)
    assert len({after - before for before, after in pairwise(numbers)}) > 10, "not every tenth"


async def test_a_week_is_drawn_once_and_another_week_differently(late: Line) -> None:
    await fill(late, fr=200)
    async with late.database.write() as session:
        assert await sample.draw(session, WEEK) == 50
        first = set((await session.execute(select(col(SampleItem.message_id)))).scalars())
        assert await sample.draw(session, WEEK) == 0, "it is there"
        for item in (await session.execute(select(SampleItem))).scalars():
            await session.delete(item)
        await session.flush()
        await sample.draw(session, WEEK)
        again = set((await session.execute(select(col(SampleItem.message_id)))).scalars())
    assert first == again
    other = Week(WEEK.monday + timedelta(weeks=1), ZONE)
    async with late.database.write() as session:
        await Archive(session, WEDNESDAY + timedelta(weeks=1)).messages(200, channel="page")
        await sample.draw(session, other)
        query = select(col(SampleItem.message_id)).where(col(SampleItem.week) == other.key)
        later = set((await session.execute(query)).scalars())
    assert {number - 200 for number in later} != first


async def test_only_the_customers_own_words_of_that_week_are_drawn(late: Line) -> None:
    async with late.database.write() as session:
        made = Archive(session, WEDNESDAY)
        inside = await made.messages(3)
        await made.messages(2, at=WEEK.starts_at - timedelta(seconds=1))
        await made.messages(2, at=WEEK.ends_at)
        await made.messages(2, text="")
    assert await sample.draw_last_week(late) == 3
    assert {item.message_id for item in await drawn(late)} == set(inside)


@pytest.mark.parametrize(
    ("counts", "size", "given"),
    [
        ({"a": 3, "b": 2}, 50, {"a": 3, "b": 2}),
        ({}, 50, {}),
        ({"a": 999, "b": 1}, 50, {"a": 49, "b": 1}),
        ({"a": 100, "b": 100, "c": 100}, 50, {"a": 17, "b": 17, "c": 16}),
        ({"a": 10_000, "b": 1, "c": 1, "d": 1, "e": 1}, 5, {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}),
    ],
)
def test_places_are_shared_out_fairly(counts: dict[str, int], size: int, given: dict[str, int]) -> None:
    assert allot(counts, size) == given


async def test_the_questions_of_a_message_come_one_after_the_other(late: Line) -> None:
    await fill(late, fr=2)
    await sample.draw_last_week(late)
    nadia = await agent(late)
    for field, label in (
        ("language", "fr"),
        ("sentiment", "negative"),
        ("complaint", "complaint"),
        ("intent", "complaint"),
        ("reason", "delay"),
    ):
        asked = await turn(late)
        assert asked is not None
        assert (asked.item.place, asked.field) == (0, field)
        await answer(late, nadia, label)
    asked = await turn(late)
    assert asked is not None
    assert (asked.item.place, asked.field) == (1, "language")
    for label in ("fr", "neutral", "other", "question"):
        await answer(late, nadia, label)
    assert await turn(late) is None, "no reason is asked of what is no complaint"
    async with late.database.read() as session:
        progress = await sample.progress(session)
        said = (await session.execute(select(Correction))).scalars().all()
    assert progress is not None
    assert (progress.week, progress.labelled, progress.left) == ("2026-W10", 2, 0)
    assert {row.source for row in said} == {"sample"}
    assert len(said) == 9


async def test_a_skipped_message_counts_for_nothing(late: Line) -> None:
    await fill(late, fr=2)
    await sample.draw_last_week(late)
    nadia = await agent(late)
    await skip(late, nadia)
    asked = await turn(late)
    assert asked is not None
    assert asked.item.place == 1
    await skip(late, nadia)
    async with late.database.read() as session:
        progress = await sample.progress(session)
    assert progress is not None
    assert (progress.labelled, progress.skipped, progress.left) == (0, 2, 0)


async def test_answers_and_skips_are_taken_back_one_by_one(line: Line) -> None:
    clock = Clock(AFTER)
    late = line_with(line, clock)
    await fill(late, fr=2)
    await sample.draw_last_week(late)
    nadia, other = await agent(late), await agent(late, "Samir")
    with pytest.raises(NothingToUndo):
        await undo(late, nadia)
    for label in ("fr", "neutral", "other", "question"):
        clock.forward(seconds=1)
        await answer(late, nadia, label)
    clock.forward(seconds=1)
    await skip(late, nadia)
    assert await turn(late) is None
    with pytest.raises(NothingToUndo):
        await undo(late, other)
    await undo(late, nadia)
    asked = await turn(late)
    assert asked is not None
    assert (asked.item.place, asked.field) == (1, "language")
    await undo(late, nadia)
    asked = await turn(late)
    assert asked is not None
    assert (asked.item.place, asked.field) == (0, "intent")
    assert dict(asked.answers) == {"language": "fr", "sentiment": "neutral", "complaint": "other"}


async def test_a_label_of_another_field_is_refused(late: Line) -> None:
    await fill(late, fr=1)
    await sample.draw_last_week(late)
    with pytest.raises(CannotCorrect):
        await answer(late, await agent(late), "negative")


async def test_before_the_first_whole_week_there_is_no_sample(late: Line) -> None:
    assert await sample.draw_last_week(late) == 0
    async with late.database.read() as session:
        assert await sample.progress(session) is None
