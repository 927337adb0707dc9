"""Back-tests of this process: one for each person at a time, gone with the process."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from socialcrm.domain.rulebook import Body
from socialcrm.engine.backtest import Comparison, backtest
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One back-test."""

    days: int
    is_compared: bool
    found: Comparison | None = None
    is_done: bool = False
    has_failed: bool = False
    task: "asyncio.Task[None] | None" = None

    @property
    def share(self) -> float:
        """How far it is."""
        return min(self.found.done / self.found.total, 1.0) if self.found and self.found.total else 0.0


@dataclass
class Trials:
    """The newest back-test of each person."""

    runs: dict[int, Run] = field(default_factory=dict)

    def of(self, agent_id: int) -> Run | None:
        """The newest one of somebody."""
        return self.runs.get(agent_id)

    def start(self, line: Line, agent_id: int, bodies: Sequence[Body], days: int) -> None:
        """Begin; one of the same person that is still running ends."""
        before = self.runs.get(agent_id)
        if before and before.task:
            before.task.cancel()
        run = self.runs[agent_id] = Run(min(max(days, 1), 366), len(bodies) == 2)
        run.task = asyncio.ensure_future(self._run(line, run, bodies))

    def stop(self) -> None:
        """End all."""
        for run in self.runs.values():
            if run.task:
                run.task.cancel()

    async def _run(self, line: Line, run: Run, bodies: Sequence[Body]) -> None:
        def on_step(found: Comparison) -> None:
            run.found = found

        try:
            run.found = await backtest(line, bodies, run.days, on_step)
        except Exception:
            log.exception("a back-test failed")
            run.has_failed = True
        run.is_done = True


TRIALS = web.AppKey("trials", Trials)
