"""The page behind a survey's link: for customers, without sign-in or scripts; only its form records anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.engagement import reply_language
from socialcrm.domain.survey import Survey, is_closed
from socialcrm.domain.survey_form import SCORE, Form, Item, answers_of, open_items
from socialcrm.domain.survey_words import Wording
from socialcrm.engine import survey_answers as engine
from socialcrm.engine import survey_forms
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
class Sent:
    """What stands in the form. `errors`: question -> missing, or "comment" -> length."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    comment: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


@routes.get("/s/{token}", name="survey")
async def show(request: web.Request) -> web.Response:
    """The questions; a score in the address (`?score=4`) is only chosen, because link scanners open links too."""
    line = request.app[LINE]
    async with line.database.read() as session:
        row = await _find(session, request.match_info["token"])
        form = await survey_forms.form_of(session, line, row) if row else None
    if row is None or form is None:
        return _page(request, line, None, None, "unknown", 404)
    if row.completed_at is not None:
        return _page(request, line, row, form, "thanks")
    if is_closed(row, line.now()):
        return _page(request, line, row, form, "closed")
    score, item = request.query.get("score", ""), form.step(SCORE)
    chosen = {SCORE: (score,)} if item and score in item.values else {}
    return _page(request, line, row, form, "question", sent=Sent(chosen))


@routes.post("/s/{token}")
async def answer(request: web.Request) -> web.StreamResponse:
    """Record the answers, each once."""
    line = request.app[LINE]
    fields = await _fields(request)
    async with line.database.write() as session:
        token = request.match_info["token"]
        row = await engine.locked(session, token) if TOKEN.fullmatch(token) else None
        form = await survey_forms.form_of(session, line, row) if row else None
        if row is None or form is None:
            return _page(request, line, None, None, "unknown", 404)
        if is_closed(row, line.now()):
            return _page(request, line, row, form, "closed", 409)
        shown, _ = open_items(form, answers_of(row.score, row.kind, row.answers))
        sent = _read(shown, fields)
        if sent.errors:
            return _page(request, line, row, form, "question", 400, sent)
        values = {item.id: ",".join(sent.values.get(item.id, ())) for item in shown}
        await engine.record(session, line, row, values, is_in_chat=False)
        if sent.comment:
            await engine.comment(session, line, token, sent.comment)
    line.live.ring()
    line.work.set()
    raise web.HTTPSeeOther(f"/s/{token}", headers=HEADERS)


async def _find(session: AsyncSession, token: str) -> Survey | None:
    if not TOKEN.fullmatch(token):
        return None
    return (await session.execute(select(Survey).where(col(Survey.token) == token))).scalar_one_or_none()


async def _fields(request: web.Request) -> dict[str, list[str]]:
    """The form as it was sent; what is not a form is an empty one."""
    if request.content_length is not None and request.content_length > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=request.content_length)
    body = await request.content.read(BODY_BYTES + 1)
    if len(body) > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=len(body))
    try:
        return parse_qs(body.decode(errors="replace"), max_num_fields=400)
    except ValueError:
        return {}


def _read(shown: list[Item], fields: Mapping[str, list[str]]) -> Sent:
    """The answers to the questions that were shown, and what is wrong with them."""
    values: dict[str, tuple[str, ...]] = {}
    errors: dict[str, str] = {}
    for item in shown:
        given = tuple(
            dict.fromkeys(text.strip().replace("\r\n", "\n") for text in fields.get(item.id, ()) if text.strip())
        )
        known = tuple(value for value in given if value in item.values) if item.values else given[:1]
        if item.values and item.type != "choices" and len(known) > 1:
            known = ()
        values[item.id] = known
        if not known and not item.is_optional:
            errors[item.id] = "missing"
        elif not item.values and known and len(known[0]) > COMMENT_LENGTH:
            errors[item.id] = "length"
    comment = fields.get("comment", [""])[0].strip().replace("\r\n", "\n")
    if len(comment) > COMMENT_LENGTH:
        errors["comment"] = "length"
    return Sent(values, comment, errors)


def _page(
    request: web.Request,
    line: Line,
    row: Survey | None,
    form: Form | None,
    state: str,
    status: int = 200,
    sent: Sent | None = None,
) -> web.Response:
    spoken = reply_language(row.language if row else language(request), line.settings.engagement.default_language)
    answers = answers_of(row.score, row.kind, row.answers) if row else {}
    words = survey_forms.wording(line, form or survey_forms.standard(line), spoken)
    text = render_form(line, words, spoken, answers, state, row=row, sent=sent)
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=HEADERS)


def render_form(
    line: Line,
    words: Wording,
    spoken: str,
    answers: Mapping[str, Any],
    state: str,
    *,
    row: Survey | None = None,
    sent: Sent | None = None,
) -> str:
    """The page as text; without a row it is only looked at, and sends nothing."""
    lang = SCREENS.get(spoken, spoken)
    lang = lang if lang in LANGUAGES else line.settings.engagement.default_language
    shown, may_follow = open_items(words.form, answers)
    score = words.form.step(SCORE)
    given = words.label(score, str(answers[SCORE])) if score and SCORE in answers else ""
    template = environment(lang, line.settings.engagement.time_zone).get_template("survey/page.html")
    return template.render(
        lang=lang,
        dir=direction(lang),
        company=line.settings.company,
        state=state,
        sent=sent or Sent(),
        survey=row,
        words=words,
        items=shown,
        is_first=not answers,
        may_follow=may_follow,
        given=given,
        asks_comment=words.form.asks_comment and not may_follow and not (row and row.comment),
        is_standard=words.form.kind == "csat" and not words.own() and spoken in LANGUAGES,
        comment_length=COMMENT_LENGTH,
    )
