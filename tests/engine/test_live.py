"""Live updates: numbers in the order of commits, and who was away catches up exactly."""

import asyncio
import random
from contextlib import suppress

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.rows import Change
from socialcrm.engine.line import Line
from socialcrm.engine.live import KEPT, Live
from tests.engine.scripted import on_one_database
from tests.story import Clock, Story, line_with

pytestmark = pytest.mark.both_databases


async def test_who_follows_sees_every_change_once_and_in_order_while_many_write(line: Line) -> None:
    """A number that becomes visible after a greater one would be missed: readers never go back."""
    story = await Story.begin(line)
    await story.customer_writes("hello")
    number = (await story.conversation()).id or 0
    start, writers, rounds = await line.live.cursor(), 6, 8
    dice = random.Random(3)

    async def linger(_: AsyncSession) -> None:
        await asyncio.sleep(dice.random() * 0.01)  # after the numbers are given, so that commits would change places

    line.database.before_commit.append(linger)

    async def write(kind: str) -> None:
        for _ in range(rounds):
            async with line.database.write() as session:
                await line.live.publish(session, kind, [number], line.now())
            line.live.ring()

    seen: list[int] = []

    async def read() -> None:
        cursor = start
        while len(seen) < writers * rounds:
            if batch := await line.live.changes(cursor, limit=3):
                seen.extend(change.id or 0 for change in batch)
                cursor = seen[-1]
            else:
                await asyncio.sleep(0.001)

    async with asyncio.timeout(30):
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.gather(read(), *(write(f"w{n}") for n in range(writers)))
    everything = [change.id for change in await line.live.changes(start)]
    assert seen == everything
    assert len(everything) == writers * rounds


@on_one_database
async def test_who_was_away_gets_exactly_what_they_missed(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("one")
    cursor = await line.live.cursor()
    assert await line.live.changes(cursor) == []
    await story.customer_writes("two", author="nadia")
    missed = await line.live.changes(cursor)
    assert [(change.kind, change.conversation_id) for change in missed][:2] == [("message", 2), ("conversation", 2)]
    assert [change.id for change in await line.live.changes(missed[0].id or 0)] == [c.id for c in missed[1:]]


async def test_the_bell_wakes_who_follows_and_the_row_wakes_who_is_in_another_process(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("hello")
    other = Live(line.database, look_seconds=0.05)  # it hears no bell of ours
    cursor = await line.live.cursor()
    follows = [asyncio.create_task(anext(live.follow(cursor))) for live in (line.live, other)]  # type: ignore[arg-type]
    await story.customer_writes("again")
    async with asyncio.timeout(10):
        for batch in await asyncio.gather(*follows):
            assert {change.conversation_id for change in batch} == {1}


async def test_what_was_rolled_back_is_no_news(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes("hello")
    before = len(await story.rows(Change))
    with suppress(ZeroDivisionError):
        async with line.database.write() as session:
            await line.live.publish(session, "message", [1], line.now())
            raise ZeroDivisionError
    assert len(await story.rows(Change)) == before


@on_one_database
async def test_old_news_is_forgotten_and_no_number_comes_back(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    await story.customer_writes("hello")
    cursor = await line.live.cursor()
    clock.at += KEPT * 2
    await line.live.prune(clock.at)
    assert await story.rows(Change) == []
    await story.customer_writes("again")
    [first, *_] = await story.rows(Change)
    assert first.id > cursor
