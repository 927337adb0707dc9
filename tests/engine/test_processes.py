"""Several processes on one PostgreSQL database, one of them killed: each thing happens once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from socialcrm.domain.rows import Agent, Analysis, Contact, Conversation, Message, OutboxItem, RawEventRow
from socialcrm.engine import ledger
from socialcrm.engine.line import Line
from tests.story import Story

ROOT = Path(__file__).parents[2]
PEOPLE, EACH = 60, 4
TEXTS = ("what are your opening hours please", "My internet has been down for three days, this is unacceptable!")


class Worker:
    """`python run.py work` as somebody would start it."""

    def __init__(self, line: Line, name: str) -> None:
        folder = line.settings.storage.folder
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "run.py", "work", "--database", line.settings.storage.database],
                cwd=ROOT,
                env={
                    **os.environ,
                    "SOCIALCRM_STORAGE__FOLDER": str(folder),
                    "SOCIALCRM_UNDERSTANDING__ENCODER": "false",
                    "SOCIALCRM_LINE__BATCH": "20",
                    "SOCIALCRM_LINE__IDLE_SECONDS": "0.05",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
        return self.process.wait(timeout=20)


@asynccontextmanager
async def workers(line: Line, number: int) -> AsyncIterator[list[Worker]]:
    """Started workers; whatever happens none of them outlives the test."""
    started = [Worker(line, f"worker-{index}") for index in range(number)]
    try:
        yield started
    finally:
        for worker in started:
            worker.end(signal.SIGKILL)


async def until(what: Callable[[], Any], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await what():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("fresh_database", ["postgresql"], indirect=True)
async def test_three_processes_one_of_them_killed_do_everything_once(line: Line) -> None:
    stories = [await Story.begin(line, key) for key in ("one", "two")]
    for number in range(3):
        await stories[0].agent(f"Agent {number}".replace(" ", ""), team="support")
        await stories[0].agent(f"Engineer{number}", team="technique")
    events = [
        (
            person % 2,
            {"id": f"{person}-{n}", "author": f"p{person}", "thread": f"{person}-{n % 3}", "text": TEXTS[n % 2]},
        )
        for person in range(PEOPLE)
        for n in range(EACH)
    ]
    dice = random.Random(11)
    dice.shuffle(events)
    twice = events + dice.sample(events, len(events) // 2)

    async def count(table: type[Any], *where: Any) -> int:
        async with line.database.read() as session:
            return await session.scalar(select(func.count()).select_from(table).where(*where)) or 0

    async def is_done() -> bool:
        open_items = col(OutboxItem.status).in_(("waiting", "sending"))
        return not (
            await count(RawEventRow, col(RawEventRow.fate) == "waiting")
            or await count(Message, col(Message.step) != "done")
            or await count(OutboxItem, open_items)
        )

    async def is_busy() -> bool:
        return await count(OutboxItem, col(OutboxItem.status) == "sent") > 5

    async def are_at_work() -> bool:
        living = [worker for worker in running if worker.process.poll() is None]
        return all("The line is at work." in worker.log.read_text(encoding="utf-8") for worker in living)

    async with workers(line, 3) as running:
        for start in range(0, len(twice), 12):  # meanwhile
            for index, story in enumerate(stories):
                payloads = [event for channel, event in twice[start : start + 12] if channel == index]
                await story.platform_says(payloads, drains=False)
            if start == 180:
                await until(is_busy)
                running[1].end(signal.SIGKILL)
                running.append(Worker(line, "worker-again"))  # as a service manager does
            await asyncio.sleep(0.005)
        await until(are_at_work)
        await until(is_done)
        codes = [worker.end() for worker in running]

    assert codes == [0, -signal.SIGKILL, 0, 0]
    incoming = await stories[0].messages()
    assert len(incoming) == len({(m.channel_id, m.external_id) for m in incoming}) == PEOPLE * EACH
    assert await count(Analysis) == len(incoming)
    assert {m.processed_at is None for m in incoming} == {False}
    async with line.database.read() as session:
        book = await ledger.counts(session)
    assert (book.received, book.stored, book.duplicate) == (len(twice), len(events), len(twice) - len(events))
    assert book.is_balanced
    assert await count(Contact) == PEOPLE
    assert await count(Conversation) == PEOPLE * 3
    answered = Counter(m.contact_id for m in await stories[0].messages("out"))
    assert (len(answered), set(answered.values())) == (PEOPLE, {1}), "one automatic answer to each person"
    sent = Counter(str(row["key"]) for story in stories for row in story.sent())
    assert (len(sent), set(sent.values())) == (PEOPLE, {1}), "each answer is sent once"
    assert {status for status, _ in await stories[0].outbox()} == {"sent"}
    load = Counter(c.agent_id for c in await stories[0].rows(Conversation))
    agents = {agent.id for agent in await stories[0].rows(Agent)}
    assert max(load[agent] for agent in agents) <= 4
    assert sum(load[agent] for agent in agents) == 4 * len(agents), "with so much work nobody has room left"
    for worker in running:
        assert "Traceback" not in worker.log.read_text(encoding="utf-8")
