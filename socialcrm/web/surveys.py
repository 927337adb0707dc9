"""Surveys: which there are, making and trying them, why some people were not asked, and the low scores to look at."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from connectors.registry import connector_class
from socialcrm.domain.channel import Channel
from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.people import Agent, Role, Team
from socialcrm.domain.survey import Resolution, ResolutionSurvey, Skipped, Survey, SurveyForm, SurveyFormVersion
from socialcrm.domain.survey_form import SCALES, Form, FormError
from socialcrm.domain.survey_words import Wording
from socialcrm.engine import survey_forms
from socialcrm.engine.ask import has_buttons
from socialcrm.engine.line import Line
from socialcrm.reports.barometer import Index
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.survey_builder import KINDS, NUMBERS, OPS, TYPES, Draft, change, new_draft, read_draft
from socialcrm.web.survey_page import render_form
from socialcrm.web.words import N_

routes = web.RouteTableDef()

MAY = (Role.SUPERVISOR, Role.ADMIN)
DAYS = 30
REASONS: Mapping[str, str] = {
    Skipped.OFF: N_("Surveys were off"),
    Skipped.REOPENED: N_("The conversation was open again before the survey was due"),
    Skipped.BOT: N_("The other side is a program"),
    Skipped.NO_FORM: N_("No survey was meant for the conversation"),
    Skipped.SAMPLED_OUT: N_("Not in the sample"),
    Skipped.ASKED_RECENTLY: N_("The person had a survey not long before"),
    Skipped.PUBLIC: N_("It was public, and the channel cannot write to the person in private"),
    Skipped.STOPPED: N_("The person asked us never to write there"),
    Skipped.WINDOW: N_("The channel took no message of ours any more"),
    Skipped.EMPTY: N_("The survey had no question to ask"),
    "": N_("Before reasons were kept"),
}
BY_LINK = "link"


@routes.get("/automation/surveys", name="surveys")
@needs(*MAY)
async def surveys(request: web.Request) -> web.Response:
    """The surveys in order, how they are answered, and why some people were not asked."""
    line = request.app[LINE]
    since = line.now() - timedelta(days=DAYS)
    async with line.database.read() as session:
        rows = await survey_forms.listed(session)
        figures = await _figures(session, since)
        skipped = await _skipped(session, since)
    return await page(
        request,
        "surveys/list.html",
        nav="automation",
        rows=[(row, Form.model_validate(row.body), figures.get(row.id, Index(row.body["kind"]))) for row in rows],
        standard=survey_forms.standard(line) if not rows else None,
        standard_figures=figures.get(None, Index("csat")),
        skipped=skipped,
        reasons=REASONS,
        kinds=KINDS,
        days=DAYS,
        is_on=line.settings.survey.is_on,
    )


@routes.post("/automation/surveys/standard", name="survey_adopt")
@needs(*MAY)
async def adopt(request: web.Request) -> web.Response:
    """Make the standard survey one that can be changed."""
    line = request.app[LINE]
    async with line.database.write() as session:
        known = await survey_forms.listed(session)
        row = known[0] if known else await survey_forms.adopt_standard(session, line, request[AGENT])
    raise web.HTTPSeeOther(f"/automation/surveys/{row.id}")


@routes.get("/automation/surveys/new", name="survey_new")
@needs(*MAY)
async def new(request: web.Request) -> web.Response:
    """A new survey of a kind."""
    kind = request.query.get("kind", "")
    if kind not in KINDS:
        raise web.HTTPNotFound
    return await _builder(request, None, new_draft(kind), request.query)


@routes.get(r"/automation/surveys/{id:\d+}", name="survey_edit")
@needs(*MAY)
async def edit(request: web.Request) -> web.Response:
    """A survey as it is."""
    async with request.app[LINE].database.read() as session:
        row = await _row(request, session)
    return await _builder(request, row, Draft(row.name, dict(row.body)), request.query)


@routes.post("/automation/surveys/new", name="survey_make")
@needs(*MAY)
async def make(request: web.Request) -> web.Response:
    """A step of making a new survey, or keeping it."""
    return await _work(request, None)


@routes.post(r"/automation/surveys/{id:\d+}", name="survey_save")
@needs(*MAY)
async def save(request: web.Request) -> web.Response:
    """A step of changing a survey, or keeping it."""
    async with request.app[LINE].database.read() as session:
        row = await _row(request, session)
    return await _work(request, row)


@routes.post(r"/automation/surveys/{id:\d+}/{deed:switch|up|down|delete}", name="survey_deed")
@needs(*MAY)
async def deed(request: web.Request) -> web.Response:
    """Switch a survey on or off, move it, delete it; its answers stay."""
    line, what = request.app[LINE], request.match_info["deed"]
    async with line.database.write() as session:
        row = await _row(request, session)
        if what == "switch":
            row.is_on = not row.is_on
        elif what == "delete":
            row.deleted_at, row.is_on = line.now(), False
        else:
            await survey_forms.move(session, row, -1 if what == "up" else 1)
    raise web.HTTPSeeOther("/automation/surveys")


async def _work(request: web.Request, row: SurveyForm | None) -> web.Response:
    line, sent = request.app[LINE], await request.post()
    kind = row.body["kind"] if row else str(sent.get("kind", ""))
    if kind not in KINDS:
        raise web.HTTPNotFound
    draft, do = read_draft(sent, kind), str(sent.get("do", "save"))
    if do != "save":
        draft.mistakes.clear()
        change(draft, do, str(sent.get("add-type", "")))
        return await _builder(request, row, draft, sent)
    if not draft.mistakes:
        try:
            async with line.database.write() as session:
                known = await session.get_one(SurveyForm, row.id) if row else None
                kept = await survey_forms.save(session, line, known, draft.name, draft.body, request[AGENT])
        except FormError as error:
            draft.mistakes = list(error.mistakes)
        else:
            raise web.HTTPSeeOther(f"/automation/surveys/{kept.id}?kept=yes")
    return await _builder(request, row, draft, sent, 422)


async def _builder(
    request: web.Request, row: SurveyForm | None, draft: Draft, asked: Mapping[str, Any], status: int = 200
) -> web.Response:
    line, gettext = request.app[LINE], translations(language(request)).gettext
    default = line.settings.engagement.default_language
    async with line.database.read() as session:
        query = select(Channel).where(col(Channel.connector) != "replay").order_by(col(Channel.name))
        channels = list((await session.execute(query)).scalars().all())
        teams = list((await session.execute(select(Team).order_by(col(Team.name)))).scalars().all())
        versions = await _versions(session, row) if row else []
    shown = str(asked.get("preview-channel", "")) or (str(channels[0].id) if channels else BY_LINK)
    spoken = str(asked.get("preview-language", ""))
    spoken = spoken if spoken in LANGUAGES else default
    words = survey_forms.wording(line, draft.shown(), spoken)
    return await page(
        request,
        "surveys/edit.html",
        status,
        nav="automation",
        row=row,
        draft=draft,
        body=draft.body,
        scale=SCALES.get(draft.body["kind"]),
        mistakes=[
            gettext(m.text) % {k: gettext(v) if isinstance(v, str) and v else v for k, v in m.values.items()}
            for m in draft.mistakes
        ],
        is_kept=asked.get("kept") == "yes",
        kinds=KINDS,
        types=TYPES,
        ops=OPS,
        numbers=NUMBERS,
        tongues=[default, *(each for each in LANGUAGES if each != default)],
        standard_text=words.question(words.form.steps[0]) if draft.body["kind"] in SCALES else words.intro(),
        channels=channels,
        teams=teams,
        versions=versions,
        shown_channel=shown,
        shown_language=spoken,
        preview=_preview(line, words, channels, shown),
        preview_page=render_form(line, words, spoken, {}, "question") if shown == BY_LINK else "",
        values=_values(words),
    )


def _values(words: Wording) -> dict[str, list[tuple[str, str]]]:
    """Question -> its answers and how they read, for conditions."""
    return {
        item.id: [(choice.value, choice.label) for choice in words.choices(item)]
        for item in words.form.steps
        if item.type != "text"
    }


def _preview(line: Line, words: Wording, channels: list[Channel], shown: str) -> list[dict[str, Any]]:
    """The messages as one channel would carry them: text, buttons, and after which answer only."""
    channel = next((c for c in channels if str(c.id) == shown), None)
    if channel is None:
        return []
    connector, form, found = connector_class(channel.connector), words.form, []
    for place, item in enumerate(form.steps):
        choices = words.choices(item)
        is_button = item.type != "choices" and has_buttons(connector, MessageKind.DIRECT_MESSAGE, len(choices))
        url = "" if place else f"{line.settings.public_url}/s/…"
        text = words.message(item, has_buttons=is_button or (item.type == "text" and not url), url=url)
        asked = form.step(item.when.item) if item.when else None
        found.append(
            {
                "text": text,
                "buttons": [choice.label for choice in choices] if is_button else [],
                "after": (words.question(asked), OPS[item.when.op], words.label(asked, item.when.value))
                if item.when and asked
                else None,
            }
        )
    ending = "survey_comment" if form.asks_comment else "survey_thanks"
    return [*found, {"text": words.reply(ending), "buttons": [], "after": None}]


async def _row(request: web.Request, session: AsyncSession) -> SurveyForm:
    row = await session.get(SurveyForm, int(request.match_info["id"][:18]))
    if row is None or row.deleted_at:
        raise web.HTTPNotFound
    return row


async def _versions(session: AsyncSession, row: SurveyForm) -> list[Any]:
    agent: Any = col(Agent.name).label("agent")
    query = (
        select(SurveyFormVersion, agent)
        .outerjoin(Agent, col(Agent.id) == col(SurveyFormVersion.changed_by_id))
        .where(col(SurveyFormVersion.form_id) == row.id)
        .order_by(col(SurveyFormVersion.version).desc())
    )
    return list((await session.execute(query.limit(20))).all())


async def _figures(session: AsyncSession, since: Any) -> dict[int | None, Index]:
    columns = Index.sums()
    query = select(col(Survey.form_id), col(Survey.kind), *columns).where(col(Survey.sent_at) >= since)
    grouped = query.group_by(col(Survey.form_id), col(Survey.kind))
    return {row[0]: Index(row[1], *(int(value) for value in row[2:])) for row in await session.execute(grouped)}


async def _skipped(session: AsyncSession, since: Any) -> list[tuple[str, int]]:
    query = (
        select(col(Resolution.survey_reason), func.count())
        .where(col(Resolution.resolved_at) >= since, col(Resolution.survey) == ResolutionSurvey.SKIPPED.value)
        .group_by(col(Resolution.survey_reason))
    )
    return sorted(((row[0], row[1]) for row in await session.execute(query)), key=lambda each: -each[1])
