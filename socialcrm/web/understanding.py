"""Understanding: how often the model is right, whether it drifts, and teaching it."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.likelihood import FEW
from socialcrm.domain.people import Agent, Role
from socialcrm.domain.teaching import LABELS, Source, VersionStatus
from socialcrm.engine import sample
from socialcrm.engine import train as engine
from socialcrm.engine.line import Line
from socialcrm.engine.train import HELD_OUT, LEAST, CannotTrain, Verdict
from socialcrm.reports.accuracy import DIMENSIONS, accuracy
from socialcrm.reports.drift import ALARM, alarms, drift
from socialcrm.reports.drift import LEAST as LEAST_MESSAGES
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.sample import week_of
from socialcrm.web.words import N_, word

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

MAY_LOOK = (Role.SUPERVISOR, Role.ADMIN)
PERIODS = (30, 90, 365, 0)
"""Days of judgements that are counted; 0 is all of them."""
WEEKS = 6
"""Weeks that the drift's little charts show."""
STEPS = {
    "": N_("Collecting the corrections…"),
    "reading": N_("Reading the held-out corrections with the model in use…"),
    "learning": N_("Learning…"),
    "comparing": N_("Reading them with the new model…"),
    "deciding": N_("Deciding…"),
}
BY = {"language": N_("Language"), "channel": N_("Channel"), "model": N_("Model"), "label": N_("Label")}
STATUSES = {"live": N_("In use"), "retired": N_("Retired"), "rejected": N_("Not better, never used")}


@dataclass
class Training:
    """The training of this process: one at a time, gone with the process."""

    step: str = ""
    task: asyncio.Task[None] | None = None
    verdict: Verdict | None = None
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self.task is not None and not self.task.done()

    def start(self, line: Line, agent: Agent) -> None:
        """Begin, unless it is at work."""
        if not self.is_running:
            self.step, self.verdict, self.error = "", None, ""
            self.task = asyncio.ensure_future(self._run(line, agent))

    async def _run(self, line: Line, agent: Agent) -> None:
        try:
            self.verdict = await engine.train(line, agent, on_step=self._on_step)
        except CannotTrain as error:
            self.error = str(error)
        except Exception:
            log.exception("the training failed")
            self.error = N_("Something went wrong on our side. It has been logged; try again in a moment.")

    def _on_step(self, step: str) -> None:
        self.step = step


TRAINING = web.AppKey("training", Training)


def setup(app: web.Application) -> None:
    """Make the training's place; it ends with the server."""
    app[TRAINING] = Training()
    app.on_shutdown.append(_stop)


@routes.get("/understanding", name="understanding")
@needs(*MAY_LOOK)
async def understanding(request: web.Request) -> web.Response:
    """All figures on one page."""
    line = request.app[LINE]
    days = _days(request)
    by = request.query.get("by", DIMENSIONS[0])
    if by not in BY:
        raise web.HTTPBadRequest(text=say(request, "This address is damaged: go back to the page it came from."))
    zone = ZoneInfo(line.settings.engagement.time_zone)
    async with line.database.read() as session:
        found = await accuracy(session, line.now() - timedelta(days=days) if days else None)
        shifts = await drift(session, line.now(), zone, WEEKS)
        drawn = await sample.progress(session)
        state = await _training(request, session)
    newest = max((shift.week for shift in shifts), default=None)
    return await page(
        request,
        "understanding/understanding.html",
        nav="understanding",
        sample=found[Source.SAMPLE],
        inbox=found[Source.INBOX],
        drawn=drawn,
        drawn_week=week_of(request, drawn),
        fields=tuple(LABELS),
        dimensions=BY,
        by=by,
        days=days,
        periods=PERIODS,
        few=FEW,
        shifts=[shift for shift in shifts if shift.week == newest],
        history=[shift for shift in reversed(shifts) if shift.dimension == "all"],
        alarms=alarms(shifts),
        alarm=ALARM,
        least_messages=LEAST_MESSAGES,
        named=_namer(request),
        problem=line.model.problem,
        done=request.query.get("done", ""),
        **state,
    )


@routes.get("/understanding/training", name="understanding_training")
@needs(*MAY_LOOK)
async def training(request: web.Request) -> web.Response:
    """How far the training is: for htmx, every second while it runs."""
    async with request.app[LINE].database.read() as session:
        state = await _training(request, session)
    return await page(request, "understanding/_training.html", **state)


@routes.post("/understanding/train", name="understanding_train")
@needs(Role.ADMIN)
async def train(request: web.Request) -> web.StreamResponse:
    """Begin a training."""
    request.app[TRAINING].start(request.app[LINE], request[AGENT])
    raise web.HTTPSeeOther("/understanding#model")


@routes.post("/understanding/rollback", name="understanding_rollback")
@needs(Role.ADMIN)
async def rollback(request: web.Request) -> web.StreamResponse:
    """Go back to what the version in use took over from."""
    try:
        await engine.rollback(request.app[LINE])
    except CannotTrain:
        raise web.HTTPConflict(
            text=say(request, "The shipped model is in use: there is nothing to go back to.")
        ) from None
    request.app[TRAINING].verdict = None
    raise web.HTTPSeeOther("/understanding?done=rolled-back#model")


async def _training(request: web.Request, session: AsyncSession) -> dict[str, Any]:
    """How far the training of this process is, what there is to learn from, and the versions."""
    running = request.app[TRAINING]
    material = await engine.material(session, request.app[LINE].pipeline)
    versions = await engine.versions(session)
    return {
        "training": running,
        "step": translations(language(request)).gettext(STEPS[running.step]),
        "correction_count": len(material.examples),
        "left_out": material.left_out,
        "least": LEAST,
        "held_out": HELD_OUT,
        "is_admin": request[AGENT].role == Role.ADMIN,
        "versions": versions,
        "statuses": STATUSES,
        "live": next((row.id for row, _ in versions if row.status == VersionStatus.LIVE), None),
    }


def _namer(request: web.Request) -> object:
    """What a group of messages is called: a language in the words of the screen, a channel or model as it is."""
    gettext = translations(language(request)).gettext

    def named(dimension: str, name: str) -> str:
        if dimension == "all":
            return str(gettext(N_("All messages")))
        return str(gettext(word("language", name))) if dimension == "language" else name

    return named


def _days(request: web.Request) -> int:
    text = request.query.get("days", "90")
    if text not in [str(days) for days in PERIODS]:
        raise web.HTTPBadRequest(text=say(request, "This address is damaged: go back to the page it came from."))
    return int(text)


async def _stop(app: web.Application) -> None:
    task = app[TRAINING].task
    if task is not None:
        task.cancel()
