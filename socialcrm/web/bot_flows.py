"""Flows on a page: writing one with its mistakes beside it, playing it without anybody getting a message, versions."""

import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.flow import Flow, FlowError
from socialcrm.domain.moments import spoken
from socialcrm.domain.play import Played, World, begin, go_on, shown
from socialcrm.domain.question import Choice
from socialcrm.domain.speak import hand_over_text
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import Playbook, mistakes, playbook, save_flow, versions
from socialcrm.web.bot import FLOW, MAY
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page

routes = web.RouteTableDef()
MOST_TURNS = 40
REFERENCE = "7K3-F9P-2"
"""Of the case that a preview does not open."""
NEW = """name = "my-flow"
title = ""
languages = ["fr", "ar", "en"]

[start]
words = ["..."]

[[steps]]
id = "what"
do = "ask"
kind = "text"
keep = "wish"
[steps.text]
fr = "Que pouvons-nous faire pour vous ?"
ar = "كيف يمكننا مساعدتكم؟"
en = "What can we do for you?"

[[steps]]
id = "person"
do = "handover"
"""


@dataclass(frozen=True)
class Spoken:
    """One line of a preview: who says it, what, and the choices under it."""

    who: str
    text: str
    choices: tuple[Choice, ...] = ()


@routes.get("/automation/bot/flows", name="bot_flow_new")
@needs(*MAY)
async def new(request: web.Request) -> web.Response:
    """An empty flow to begin with."""
    return await _editor(request, "", NEW)


@routes.get(rf"/automation/bot/flows/{FLOW}", name="bot_flow")
@needs(*MAY)
async def edit(request: web.Request) -> web.Response:
    """A flow as it is, or as it was in a version."""
    line, name = request.app[LINE], request.match_info["flow"]
    async with line.database.read() as session:
        known = (await playbook(session, line)).known.get(name)
        if known is None:
            raise web.HTTPNotFound(text=say(request, "There is no such flow."))
        source = known.source
        wanted = request.query.get("version", "")
        if wanted:
            source = next(
                (row.source for row, _ in await versions(session, name) if str(row.version) == wanted), source
            )
    return await _editor(request, name, source)


@routes.post("/automation/bot/flows", name="bot_flow_save")
@needs(*MAY)
async def save(request: web.Request) -> web.StreamResponse:
    """Keep a new version; a text with mistakes comes back with them."""
    line, form = request.app[LINE], await request.post()
    source, name = _source(form), str(form.get("name", ""))
    try:
        async with line.database.write() as session:
            flow = await save_flow(session, line, source, name, request[AGENT])
    except FlowError:
        return await _editor(request, name, source, status=422)
    raise web.HTTPSeeOther(f"/automation/bot/flows/{flow.name}?done=saved")


@routes.post("/automation/bot/check", name="bot_flow_check")
@needs(*MAY)
async def check(request: web.Request) -> web.Response:
    """The mistakes of a text while it is being written."""
    line, form = request.app[LINE], await request.post()
    async with line.database.read() as session:
        book = await playbook(session, line)
    _, wrong = mistakes(line, book, _source(form), str(form.get("name", "")))
    return await page(request, "bot/_checked.html", wrong=_said(request, wrong))


@routes.post("/automation/bot/play", name="bot_flow_play")
@needs(*MAY)
async def play(request: web.Request) -> web.Response:
    """Play a text from its start with the answers given so far; nobody gets a message."""
    line, form = request.app[LINE], await request.post()
    async with line.database.read() as session:
        book = await playbook(session, line)
        flow, wrong = mistakes(line, book, _source(form), str(form.get("name", "")))
        lang = str(form.get("language", "fr"))
        lang = lang if lang in LANGUAGES else "fr"
        made = await _world(session, line, book, lang, is_open=form.get("hours") != "closed")
    answers = _answers(form)
    return await page(
        request,
        "bot/_played.html",
        wrong=_said(request, wrong),
        lines=[] if wrong or flow is None else _lines(request, made, flow, answers),
        answers=json.dumps(answers, ensure_ascii=False),
        is_over=len(answers) >= MOST_TURNS,
    )


def _answers(form: Any) -> list[list[str]]:
    """The answers so far, each a text and maybe a picked value; with the one that was just given."""
    try:
        found = [[str(text)[:500], str(value)[:40]] for text, value in json.loads(str(form.get("answers", "[]")))]
    except (ValueError, TypeError):
        found = []
    if form.get("restart"):
        return []
    picked, text = str(form.get("picked", "")), str(form.get("text", "")).strip()
    if picked:
        value, _, label = picked.partition("|")
        found.append([label[:500], value[:40]])
    elif text:
        found.append([text[:500], ""])
    return found[:MOST_TURNS]


def _lines(request: web.Request, made: World, flow: Flow, answers: list[list[str]]) -> list[Spoken]:
    """The talk as both sides see it."""
    made = World(**{**vars(made), "flows": {**made.flows, flow.name: flow}})
    played = begin(made, flow)
    lines = _of(request, made, played)
    for text, picked in answers:
        lines.append(Spoken("customer", text))
        if played.state is None or played.hands_over:
            break
        played = go_on(made, made.flows[played.state.flow], played.state, text, picked)
        lines += _of(request, made, played)
    if played.state is None and not played.hands_over:
        lines.append(Spoken("end", say(request, "The flow is over; the bot goes on listening.")))
    return lines


def _of(request: web.Request, made: World, played: Played) -> list[Spoken]:
    lines = []
    texts = list(played.texts)
    if played.hands_over:
        texts.append(hand_over_text(made))
    for place, text in enumerate(texts):
        lines.append(Spoken("bot", text, played.choices if place == len(texts) - 1 else ()))
    if played.opens_case:
        lines.append(Spoken("deed", say(request, "A case is opened.")))
    if played.call_back:
        phone, at, _ = played.call_back
        when = shown(made, at.isoformat())
        lines.append(Spoken("deed", say(request, "A call-back is left: %(phone)s, %(when)s.", phone=phone, when=when)))
    if played.hands_over:
        lines.append(Spoken("deed", say(request, "People take over, with what was answered as a summary.")))
    return lines


async def _world(session: AsyncSession, line: Line, book: Playbook, lang: str, *, is_open: bool) -> World:
    """The company at its next open, or closed, moment."""
    zone = ZoneInfo(line.settings.engagement.time_zone)
    calendar = await calendar_for(session, line, None)
    now = line.now()
    if is_open:
        now = calendar.next_opening(now) or now
    elif calendar.is_open(now):
        now = _closed(calendar.closing(now) or now, zone)
    opening = calendar.next_opening(now)
    plan = book.plan
    return World(
        flows=book.flows,
        answers={entry.id: entry.answers for entry in line.engagement.questions},
        reply=lambda key: plan.texts.get(key, {}).get(lang) or line.engagement.replies[lang][key],
        language=lang,
        default_language=line.settings.engagement.default_language,
        now=now,
        zone=zone,
        calendar=calendar,
        given={
            "name": "Lyes",
            "company": line.settings.company,
            "url": line.settings.public_url,
            "opening": spoken(opening, now, zone, lang) if opening else "",
            "place": "",
        },
        reference=REFERENCE,
    )


def _closed(closing: datetime, zone: ZoneInfo) -> datetime:
    """Midnight after people went home: a lunch break is no end of the day."""
    return datetime.combine(closing.astimezone(zone).date() + timedelta(days=1), time(), tzinfo=zone)


def _source(form: Any) -> str:
    return str(form.get("source", "")).replace("\r\n", "\n")


def _said(request: web.Request, wrong: list[FlowError]) -> list[str]:
    gettext = translations(language(request)).gettext
    return [str(gettext(error.sentence)) % error.values for error in wrong]


async def _editor(request: web.Request, name: str, source: str, status: int = 200) -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        book = await playbook(session, line)
        history = await versions(session, name) if name else []
    _, wrong = mistakes(line, book, source, name)
    return await page(
        request,
        "bot/flow.html",
        status=status,
        nav="automation",
        name=name,
        known=book.known.get(name),
        source=source,
        wrong=_said(request, wrong),
        is_refused=status != 200,
        history=history,
        version=request.query.get("version", ""),
        done=request.query.get("done", ""),
        text_languages=LANGUAGES,
        entries=line.engagement.questions,
    )
