"""The bot's page: what it says by itself, how right the FAQ is, its flows, and who wants to be called."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.bot import TEXTS, BotPlanRow, CallBack, CallBackStatus, Plan
from socialcrm.domain.contact import Contact
from socialcrm.domain.engagement import LANGUAGES, EngagementError
from socialcrm.domain.faq import Curve
from socialcrm.domain.people import Agent, Role
from socialcrm.domain.speak import Trust
from socialcrm.domain.teaching import LABELS
from socialcrm.engine import faq
from socialcrm.engine.hand_over import take_over
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import mistakes, playbook, save_plan, switch
from socialcrm.web.conversation import ACTING, done, find
from socialcrm.web.guard import needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_

log = logging.getLogger(__name__)
routes = web.RouteTableDef()
MAY = (Role.SUPERVISOR, Role.ADMIN)
CALLS = 100
FLOW = r"{flow:[a-z][a-z0-9_-]{0,39}}"
SWITCHES = {
    "is_on": (
        N_("The bot is on"),
        N_("Switched off, it only tells customers who ask for a person that one takes over."),
    ),
    "answers": (
        N_("Answers questions of the FAQ"),
        N_("When it is sure enough; otherwise the answer is suggested to agents."),
    ),
    "greets": (
        N_("Greets who writes for the first time"),
        N_("In private only, and only where nothing else answers."),
    ),
    "tells_closed": (
        N_("Says out of hours when people are back"),
        N_("Once to each person within the window of automatic answers."),
    ),
}
TEXT_WORDS = {
    "greeting": N_("Greeting"),
    "out_of_hours": N_("Out of hours"),
    "opening_line": N_("When people are back"),
    "handover": N_("A person takes over"),
    "queue_place": N_("Place in the queue"),
    "bot_taken_over": N_("An agent takes over"),
}


@dataclass
class Measuring:
    """The measuring of this process: one at a time."""

    task: asyncio.Task[None] | None = None
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self.task is not None and not self.task.done()


MEASURING = web.AppKey("faq_measuring", Measuring)


def setup(app: web.Application) -> None:
    """Room for a measuring; it ends with the server."""
    app[MEASURING] = Measuring()
    app.on_shutdown.append(_stop)


async def _stop(app: web.Application) -> None:
    if (task := app[MEASURING].task) is not None:
        await asyncio.wait([task])


@routes.get("/automation/bot", name="bot")
@needs(*MAY)
async def bot(request: web.Request) -> web.Response:
    """Everything on one page."""
    return await _shown(request)


@routes.post("/automation/bot", name="bot_save")
@needs(*MAY)
async def save(request: web.Request) -> web.StreamResponse:
    """Keep what the bot does by itself. What cannot be comes back with the reason, as it was typed."""
    line, form = request.app[LINE], await request.post()
    values = {key: str(value) for key, value in form.items()}
    try:
        plan = Plan.model_validate(_read(values, line))
    except ValidationError as error:
        return await _shown(request, typed=values, error=_sentence(request, error))
    async with line.database.write() as session:
        await save_plan(session, line, plan, request[AGENT])
    raise web.HTTPSeeOther("/automation/bot?done=saved")


@routes.post("/automation/bot/measure", name="bot_measure")
@needs(*MAY)
async def measure(request: web.Request) -> web.StreamResponse:
    """Ask the FAQ every labelled question again; it takes some seconds."""
    line, running = request.app[LINE], request.app[MEASURING]
    if not running.is_running:
        running.error = ""
        running.task = asyncio.ensure_future(_measure(line, running))
        await asyncio.wait([running.task], timeout=15)
    raise web.HTTPSeeOther("/automation/bot#faq")


async def _measure(line: Line, running: Measuring) -> None:
    try:
        await faq.measure_now(line)
    except EngagementError as error:
        running.error = str(error)
    except Exception:
        log.exception("the FAQ could not be measured")
        running.error = N_("Something went wrong on our side. It has been logged; try again in a moment.")


@routes.post(rf"/automation/bot/flows/{FLOW}/{{deed:on|off}}", name="bot_switch")
@needs(*MAY)
async def turn(request: web.Request) -> web.StreamResponse:
    """Let a flow begin by itself, or no more."""
    line, name = request.app[LINE], request.match_info["flow"]
    is_on = request.match_info["deed"] == "on"
    async with line.database.write() as session:
        book = await playbook(session, line)
        if name not in book.known:
            raise web.HTTPNotFound(text=say(request, "There is no such flow."))
        if is_on and mistakes(line, book, book.known[name].source, name)[1]:
            raise web.HTTPConflict(text=say(request, "This flow has mistakes: open it and mend them first."))
        await switch(session, line, name, is_on)
    raise web.HTTPSeeOther("/automation/bot#flows")


@routes.post(r"/inbox/{id:\d{1,18}}/take-over", name="conversation_take_over")
@needs(*ACTING)
async def mine(request: web.Request) -> web.StreamResponse:
    """The bot falls silent in a conversation, and the agent answers."""
    line = request.app[LINE]
    async with line.database.write() as session:
        await take_over(session, line, await find(session, request), request[AGENT])
    return await done(request)


@routes.post(r"/call-backs/{id:\d{1,18}}/{deed:done|cancelled|open}", name="call_back_deed")
@needs(*ACTING)
async def called(request: web.Request) -> web.StreamResponse:
    """A call was made, is not wanted any more, or is wanted again after all."""
    line, deed = request.app[LINE], CallBackStatus(request.match_info["deed"])
    async with line.database.write() as session:
        row = await session.get(CallBack, int(request.match_info["id"]), with_for_update=True)
        if row is None:
            raise web.HTTPNotFound(text=say(request, "There is no such call."))
        row.status, row.agent_id = deed, request[AGENT].id
        row.done_at = None if deed == CallBackStatus.OPEN else line.now()
        await line.live.publish(session, "conversation", [row.conversation_id], line.now())
        number = row.conversation_id
    line.live.ring()
    if (await request.post()).get("back") == "bot":
        raise web.HTTPSeeOther(f"/automation/bot?called={row.id}#calls")
    raise web.HTTPSeeOther(f"/inbox/{number}")


async def _shown(request: web.Request, typed: Mapping[str, str] | None = None, error: str = "") -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        book = await playbook(session, line)
        curve = await faq.curve(session, line)
        trust = await faq.trust(session, list(LABELS["intent"]))
        calls = await _calls(session)
        newest = await _newest_plan(session)
        gone = await _gone(session, request)
    plan, running = book.plan, request.app[MEASURING]
    wrong = {name: mistakes(line, book, known.source, name)[1] for name, known in book.known.items()}
    return await page(
        request,
        "bot/bot.html",
        status=422 if error else 200,
        nav="automation",
        plan=plan,
        typed=typed or _typed(plan, line),
        error=error,
        done=request.query.get("done", ""),
        switches=SWITCHES,
        texts=TEXTS,
        text_words=TEXT_WORDS,
        text_languages=LANGUAGES,
        default_texts=line.engagement.replies,
        entries=line.engagement.questions,
        curve=curve,
        point=curve.threshold(plan.faq_bar) if curve else None,
        figures=_figures(curve) if curve else [],
        drawing=_drawing(curve) if curve else {},
        trust=_trusted(trust, plan),
        measuring=running.is_running,
        problem=running.error,
        flows=book.known,
        wrong=wrong,
        calls=calls,
        gone=gone,
        newest=newest,
    )


def _typed(plan: Plan, line: Line) -> dict[str, str]:
    """The plan as its form holds it."""
    values = {name: "yes" for name in SWITCHES if getattr(plan, name)}
    values |= {
        "faq_bar": f"{plan.faq_bar:.0%}".rstrip("%"),
        "public_bar": f"{plan.public_bar:.0%}".rstrip("%"),
        "public_least": str(plan.public_least),
    }
    for key in TEXTS:
        for language in LANGUAGES:
            values[f"{key}.{language}"] = (
                plan.texts.get(key, {}).get(language) or line.engagement.replies[language][key]
            )
    return values


def _read(values: Mapping[str, str], line: Line) -> dict[str, Any]:
    """The form as a plan; texts that are those of the installation are not kept."""
    texts: dict[str, dict[str, str]] = {}
    for key in TEXTS:
        for language in LANGUAGES:
            text = values.get(f"{key}.{language}", "").replace("\r\n", "\n").strip()
            if text and text != line.engagement.replies[language][key]:
                texts.setdefault(key, {})[language] = text
    return {
        **{name: values.get(name) == "yes" for name in SWITCHES},
        "faq_bar": _share(values.get("faq_bar", "")),
        "public_bar": _share(values.get("public_bar", "")),
        "public_least": values.get("public_least", ""),
        "texts": texts,
    }


def _share(text: str) -> float | str:
    try:
        return float(text.replace(",", ".")) / 100
    except ValueError:
        return text


def _sentence(request: web.Request, error: ValidationError) -> str:
    """The first mistake, in the language of the screen as far as it can be foreseen."""
    first = error.errors()[0]
    match first["loc"][0]:
        case "faq_bar" | "public_bar":
            return say(request, "The share of right answers lies between 50 and 100 percent.")
        case "public_least":
            return say(request, "The number of judged messages lies between 10 and 10,000.")
    detail = str(first["msg"]).removeprefix("Value error, ")
    return say(request, "One of the texts cannot be used: %(reason)s.", reason=detail)


def _figures(curve: Curve) -> list[dict[str, Any]]:
    """The curve for the slider's script: what holds at each bar."""
    found = []
    for percent in range(50, 101):
        point = curve.threshold(percent / 100)
        low, high = (point.interval or (0.0, 1.0)) if point else (0.0, 1.0)
        found.append(
            {
                "bar": percent,
                "score": point.score if point else None,
                "precision": point.precision if point else None,
                "low": low,
                "high": high,
                "given": point.given if point else 0,
                "right": point.right if point else 0,
                "recall": curve.recall(point) if point else 0,
            }
        )
    return found


def _drawing(curve: Curve) -> dict[str, str]:
    """Precision and recall by score as lines in a box of 100 by 40, scores from 0.3 to 1."""

    def line_of(values: list[tuple[float, float]]) -> str:
        return " ".join(f"{(score - 0.3) / 0.7 * 100:.1f},{40 - share * 40:.1f}" for score, share in values)

    return {
        "precision": line_of([(p.score, p.precision) for p in curve.points if p.precision is not None]),
        "recall": line_of([(p.score, curve.recall(p)) for p in curve.points]),
    }


def _trusted(trust: Mapping[str, Trust], plan: Plan) -> list[tuple[str, Trust, str]]:
    """Each intent with what people judged, and whether it is answered in public: yes, few or low."""
    rows = []
    for intent in LABELS["intent"]:
        found = trust.get(intent, Trust(0, 0))
        is_low = found.count >= plan.public_least and found.right / found.count < plan.public_bar
        rows.append((intent, found, "few" if found.count < plan.public_least else "low" if is_low else "yes"))
    return sorted(rows, key=lambda row: -row[1].count)


async def _calls(session: AsyncSession) -> list[tuple[CallBack, str]]:
    query = (
        select(CallBack, col(Contact.name))
        .join(Contact, col(Contact.id) == col(CallBack.contact_id))
        .where(col(CallBack.status) == CallBackStatus.OPEN.value)
        .order_by(col(CallBack.due_at))
        .limit(CALLS)
    )
    return [(row[0], row[1]) for row in (await session.execute(query)).all()]


async def _gone(session: AsyncSession, request: web.Request) -> CallBack | None:
    """The call that was just taken off the list, so that this can be undone."""
    number = request.query.get("called", "")
    row = await session.get(CallBack, int(number)) if number.isdecimal() and len(number) < 19 else None
    return row if row is not None and row.status != CallBackStatus.OPEN else None


async def _newest_plan(session: AsyncSession) -> tuple[BotPlanRow, str | None] | None:
    query = (
        select(BotPlanRow, col(Agent.name))
        .join(Agent, col(Agent.id) == col(BotPlanRow.agent_id), isouter=True)
        .order_by(col(BotPlanRow.id).desc())
        .limit(1)
    )
    row = (await session.execute(query)).first()
    return (row[0], row[1]) if row else None
