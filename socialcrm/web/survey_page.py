"""The page behind a survey's link: for customers, without sign-in or scripts; only its form records anything."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.engagement import reply_language
from socialcrm.domain.survey import Survey, is_closed
from socialcrm.engine import survey as engine
from socialcrm.engine.line import Line
from socialcrm.web.i18n import LANGUAGES, direction, language
from socialcrm.web.keys import LINE
from socialcrm.web.page import environment

routes = web.RouteTableDef()

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
COMMENT_LENGTH = 4000
BODY_BYTES = 64 * 1024
HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "no-referrer"}
SCREENS = {"arq-Arab": "ar", "arq-Latn": "fr"}
"""Darija -> the language of the screen's own few words; the questions are in Darija."""


@dataclass(frozen=True)
class Form:
    """What stands in the form. `error` is one of: "", score, length."""

    score: str = ""
    comment: str = ""
    error: str = ""


@routes.get("/s/{token}", name="survey")
async def show(request: web.Request) -> web.Response:
    """The question; a score in the address (`?score=4`) is only chosen, because link scanners open links too."""
    line = request.app[LINE]
    async with line.database.read() as session:
        row = await _find(session, request.match_info["token"])
    if row is None:
        return _page(request, line, None, "unknown", 404)
    if row.answered_at is not None:
        return _page(request, line, row, "thanks")
    if is_closed(row, line.now()):
        return _page(request, line, row, "closed")
    score = request.query.get("score", "")
    return _page(request, line, row, "question", form=Form(score if _is_score(score) else ""))


@routes.post("/s/{token}")
async def answer(request: web.Request) -> web.StreamResponse:
    """Record the answer, once."""
    line = request.app[LINE]
    form = await _read(request)
    token = request.match_info["token"]
    async with line.database.write() as session:
        row = await _find(session, token, is_locked=True)
        if row is None:
            return _page(request, line, None, "unknown", 404)
        if is_closed(row, line.now()):
            return _page(request, line, row, "closed", 409)
        if form.error:
            return _page(request, line, row, "question", 400, form)
        await engine.score(session, line, token, int(form.score))
        if form.comment:
            await engine.comment(session, line, token, form.comment)
    line.live.ring()
    line.work.set()
    raise web.HTTPSeeOther(f"/s/{token}", headers=HEADERS)


async def _find(session: AsyncSession, token: str, *, is_locked: bool = False) -> Survey | None:
    if not TOKEN.fullmatch(token):
        return None
    query = select(Survey).where(col(Survey.token) == token)
    return (await session.execute(query.with_for_update() if is_locked else query)).scalar_one_or_none()


async def _read(request: web.Request) -> Form:
    """The form as it was sent; what is not a form is one without a score."""
    if request.content_length is not None and request.content_length > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=request.content_length)
    body = await request.content.read(BODY_BYTES + 1)
    if len(body) > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=len(body))
    try:
        sent = parse_qs(body.decode(errors="replace"), max_num_fields=20)
    except ValueError:
        sent = {}
    score, comment = sent.get("score", [""])[0].strip(), sent.get("comment", [""])[0].strip().replace("\r\n", "\n")
    error = "" if _is_score(score) else "score"
    if len(comment) > COMMENT_LENGTH:
        error = error or "length"
    return Form(score if _is_score(score) else "", comment, error)


def _is_score(text: str) -> bool:
    return text in {str(number) for number in engine.SCORES}


def _page(
    request: web.Request, line: Line, row: Survey | None, state: str, status: int = 200, form: Form | None = None
) -> web.Response:
    spoken = reply_language(row.language if row else language(request), line.settings.engagement.default_language)
    lang = SCREENS.get(spoken, spoken)
    lang = lang if lang in LANGUAGES else line.settings.engagement.default_language
    template = environment(lang, line.settings.engagement.time_zone).get_template("survey/page.html")
    text = template.render(
        lang=lang,
        dir=direction(lang),
        company=line.settings.company,
        state=state,
        form=form or Form(),
        survey=row,
        scores=[(number, line.engagement.reply(spoken, f"csat_{number}")) for number in engine.SCORES],
        say=lambda key: line.engagement.reply(spoken, key),
        comment_length=COMMENT_LENGTH,
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)
