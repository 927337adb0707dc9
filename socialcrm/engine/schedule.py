"""The timetable: runs the steps of the line whenever rows wait, and the rest at its time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import delete
from sqlmodel import col

from socialcrm.domain.people import WebSession
from socialcrm.engine import attach, backfill, collect, deliver, files, hooks, posts, probe, rulebook
from socialcrm.engine.analyze import analyze
from socialcrm.engine.bot import speak
from socialcrm.engine.escalate import escalate
from socialcrm.engine.follow import follow
from socialcrm.engine.ingest import ingest
from socialcrm.engine.later import go_on, reach_out
from socialcrm.engine.learn import learn
from socialcrm.engine.leave import leave
from socialcrm.engine.line import Line, StepFunction
from socialcrm.engine.prioritize import prioritize, refresh
from socialcrm.engine.react import react
from socialcrm.engine.route import route
from socialcrm.engine.sample import draw_last_week
from socialcrm.engine.silence import listen
from socialcrm.engine.survey import survey
from socialcrm.engine.triage import triage

log = logging.getLogger(__name__)
STOP_SECONDS = 30
LEARN_SECONDS = 5.0
ESCALATE_SECONDS = 2.0
FETCH_SECONDS = 2.0
PROBE_SECONDS = 60.0
REACH_SECONDS = 2.0
LEAVE_SECONDS = 10.0
STEPS: tuple[StepFunction, ...] = (
    ingest,
    analyze,
    triage,
    speak,
    react,
    listen,
    go_on,
    prioritize,
    route,
    survey,
    follow,
)


async def drain(line: Line) -> int:
    """Run the steps over everything that waits now, then send what is due; how many rows were taken in all."""
    total = 0
    while taken := sum([await step(line) for step in (*STEPS, *OUTWARD, escalate)]):
        total += taken
    return total


async def deliver_due(line: Line) -> int:
    """Send what is due, channel beside channel, so that a slow one does not hold the others up."""
    numbers = await deliver.channels_due(line)
    return sum(await asyncio.gather(*(deliver.deliver(line, number) for number in numbers)))


async def _look_up_due(line: Line) -> int:
    return sum([await posts.look_up(line, number) for number in await posts.channels_due(line)])


OUTWARD: tuple[StepFunction, ...] = (deliver_due, _look_up_due, reach_out, hooks.call_due)
"""What talks to others: never in the way of the steps."""


class Timetable:
    """The loops of one process: the line, delivery, collecting, and house-keeping by APScheduler."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[tuple[str, int]] = set()
        self._to_send = asyncio.Event()
        self._fetched: int | None = None
        """The newest message whose files were looked for."""

    async def start(self) -> None:
        """Begin. Items that a crash left behind are settled first."""
        self._line.stopped.clear()
        await deliver.reconcile(self._line)
        await collect.forget_polls(self._line)
        self._spawn(self._run_steps())
        self._spawn(self._run_each(self._to_send, "deliver", deliver.channels_due, deliver.deliver))
        self._spawn(self._run_each(asyncio.Event(), "collect", collect.channels_due, collect.collect))
        self._spawn(self._run_each(asyncio.Event(), "backfill", backfill.channels_due, backfill.backfill))
        self.every(PROBE_SECONDS, self._probe, "probe")
        self._spawn(self._run_each(asyncio.Event(), "posts", posts.channels_due, posts.look_up))
        self.every(30, self._reconcile, "reconcile")
        self.every(LEARN_SECONDS, self._learn, "learn")
        self.every(FETCH_SECONDS, self._fetch, "fetch")
        self.every(REACH_SECONDS, self._reach, "reach")
        self.every(ESCALATE_SECONDS, self._escalate, "escalate")
        self.every(LEAVE_SECONDS, self._leave, "leave")
        self.every(3600, self._prune, "prune")
        self.every(3600, self._sample, "sample")
        self._spawn(self._work_once("sample", self._sample))
        self._scheduler.start()

    def every(self, seconds: float, job: Callable[[], Awaitable[None]], name: str) -> None:
        """Run `job` every so many seconds, never twice at once, in a task that `stop` waits for."""

        async def run() -> None:
            if (name, 0) not in self._busy:
                self._busy.add((name, 0))
                self._spawn(self._work_once(name, job))

        self._scheduler.add_job(run, "interval", seconds=seconds, id=name, coalesce=True)

    async def stop(self) -> None:
        """End after what is under way, leaving the rest in its rows. Nothing is cancelled in the middle of a query:
        aiosqlite's connection would then never close."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._line.stopped.set()
        self._line.work.set()
        self._to_send.set()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _run_steps(self) -> None:
        line = self._line
        while not line.stopped.is_set():
            line.work.clear()
            try:
                taken = sum([await step(line) for step in STEPS])
            except Exception:
                log.exception("the line stopped; going on in a moment")
                await asyncio.sleep(line.settings.line.idle_seconds)
                continue
            if taken:
                self._to_send.set()
            else:
                await _wait(line.work, line.settings.line.idle_seconds)
                self._to_send.set()

    async def _run_each(
        self,
        signal: asyncio.Event,
        name: str,
        due: Callable[[Line], Awaitable[list[int]]],
        work: Callable[[Line, int], Awaitable[int]],
    ) -> None:
        """Do the work of each channel that is due in a task of its own, one task per channel at a time."""
        while not self._line.stopped.is_set():
            signal.clear()
            try:
                for number in await due(self._line):
                    if (name, number) not in self._busy:
                        self._busy.add((name, number))
                        self._spawn(self._work(signal, name, number, work))
            except Exception:
                log.exception("%s stopped; going on in a moment", name)
            if not self._line.stopped.is_set():
                await _wait(signal, self._line.settings.line.idle_seconds)

    async def _work(
        self, signal: asyncio.Event, name: str, number: int, work: Callable[[Line, int], Awaitable[int]]
    ) -> None:
        try:
            while await work(self._line, number) and not self._line.stopped.is_set():
                pass
        except Exception:
            log.exception("%s of channel %s stopped", name, number)
        finally:
            self._busy.discard((name, number))
            signal.set()

    async def _work_once(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception:
            log.exception("%s stopped", name)
        finally:
            self._busy.discard((name, 0))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconcile(self) -> None:
        await deliver.reconcile(self._line)

    async def _learn(self) -> None:
        while await learn(self._line) and not self._line.stopped.is_set():
            pass

    async def _escalate(self) -> None:
        while await escalate(self._line) and not self._line.stopped.is_set():
            pass

    async def _reach(self) -> None:
        """Hide, mail and call what rules want, beside the line."""
        while (await reach_out(self._line) + await hooks.call_due(self._line)) and not self._line.stopped.is_set():
            pass

    async def _fetch(self) -> None:
        self._fetched = await attach.fetch_new(self._line, self._fetched)

    async def _probe(self) -> None:
        await probe.note_quotas(self._line)
        await probe.probe_next(self._line)

    async def _leave(self) -> None:
        await refresh(self._line)
        await leave(self._line)

    async def _sample(self) -> None:
        await draw_last_week(self._line)

    async def _prune(self) -> None:
        line = self._line
        await line.live.prune(line.now())
        storage = line.settings.storage
        await asyncio.to_thread(files.sweep, storage.folder, storage.attachment_days)
        await hooks.prune(line)
        async with line.database.write() as session:
            await rulebook.prune(session, line.now())
            await session.execute(delete(WebSession).where(col(WebSession.expires_at) < line.now() - timedelta(days=1)))
        await self._forget(line.now() - timedelta(days=line.settings.rules.trace_days))

    async def _forget(self, before: datetime) -> None:
        count = 1
        while count and not self._line.stopped.is_set():
            async with self._line.database.write() as session:
                count = await rulebook.forget(session, before)


async def _wait(signal: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # wait_for can swallow a cancel before Python 3.12
            await signal.wait()
    except TimeoutError:
        return
