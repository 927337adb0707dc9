"""Reports: figures, charts, tables and files from one query each, and the rows behind every figure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web
from babel.dates import format_date
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.people import Role, Team
from socialcrm.domain.survey_form import KINDS, SCALES
from socialcrm.reports import links, promises, rows
from socialcrm.reports.charts import CHARTS, Look
from socialcrm.reports.export import csv_text
from socialcrm.reports.filters import PRESETS, FilterError, Filters, read_filters
from socialcrm.reports.messages import used_languages
from socialcrm.reports.registry import TABLES
from socialcrm.reports.tables import Table
from socialcrm.web.guard import needs
from socialcrm.web.headlines import headlines, wait
from socialcrm.web.i18n import Formats, language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_, WORDS, word

T = TypeVar("T")
log = logging.getLogger(__name__)
routes = web.RouteTableDef()

HIGHEST = {kind: scale[-1] for kind, scale in SCALES.items()}
MAY_READ = (Role.SUPERVISOR, Role.ANALYST, Role.ADMIN)
LABELS = {
    "unsure": N_("Unsure"),
    "pending": N_("Not read yet"),
    "yes": N_("Yes"),
    "no": N_("No"),
    "new": N_("New"),
    "rising": N_("Rising"),
    "steady": N_("Steady"),
    "falling": N_("Falling"),
    "first_response": N_("First answer"),
    "next_response": N_("Next answer"),
    "resolution": N_("Resolution"),
    "met": N_("Kept"),
    "broken": N_("Broken"),
    "risk": N_("At risk"),
    "running": N_("Running"),
    "dropped": N_("Not needed any more"),
    **WORDS["cause"],
}


@routes.get("/reports", name="reports")
@needs(*MAY_READ)
async def reports(request: web.Request) -> web.Response:
    """All figures of a period."""
    filters, error = _filters_or_default(request)
    async with request.app[LINE].database.read() as session:
        tables = {name: await fill(session, filters) for name, fill in TABLES.items()}
        figures = await headlines(request, session, filters, tables)
        context = await choices(session, filters)
    return await report_page(
        request,
        "reports/reports.html",
        filters,
        status=400 if error else 200,
        error=error,
        tables=tables,
        headlines=figures,
        charts=CHARTS,
        **context,
    )


@routes.get("/reports/{chart:[a-z_]+}.json", name="report_chart")
@needs(*MAY_READ)
async def chart(request: web.Request) -> web.Response:
    """The Vega-Lite specification of a chart, with its data."""
    name = request.match_info["chart"]
    if name not in CHARTS:
        raise web.HTTPNotFound
    filters, table = await _table(request, name)
    look = Look(
        spoken(request), [_formats(request).locale.months["stand-alone"]["abbreviated"][n] for n in range(1, 13)]
    )
    headers = {"Cache-Control": "no-store"}
    return web.json_response(CHARTS[name](table, filters, look), headers=headers)


@routes.get("/reports/{table:[a-z_]+}.csv", name="report_csv")
@needs(*MAY_READ)
async def file(request: web.Request) -> web.Response:
    """A table as a file for spreadsheets."""
    name = request.match_info["table"]
    if name not in TABLES:
        raise web.HTTPNotFound
    filters, table = await _table(request, name)
    return await csv_file(request, filters, table)


@routes.get("/reports/messages.csv", name="report_messages_csv")
@needs(*MAY_READ)
async def message_file(request: web.Request) -> web.Response:
    """The newest messages behind a figure, as a file for spreadsheets."""
    filters = asked_filters(request)
    is_raw = _is_raw(request)
    async with request.app[LINE].database.read() as session:
        table = await _asked(rows.message_table(session, filters, **_labels(request), is_raw=is_raw))
    return await csv_file(request, filters, table)


@routes.get("/reports/messages", name="report_messages")
@needs(*MAY_READ)
async def message_rows(request: web.Request) -> web.Response:
    """Incoming messages behind a figure."""
    filters, place = _place(request)
    shown = _labels(request)
    async with request.app[LINE].database.read() as session:
        found = await _asked(rows.messages(session, filters, place, **shown))
        context = await choices(session, filters)
    may_be_raw = request[AGENT].role == Role.ADMIN
    return await report_page(
        request,
        "reports/messages.html",
        filters,
        found=found,
        shown=shown,
        most=rows.MOST,
        may_be_raw=may_be_raw,
        **context,
    )


@routes.get("/reports/surveys", name="report_surveys")
@needs(*MAY_READ)
async def survey_rows(request: web.Request) -> web.Response:
    """Surveys behind a figure."""
    query = request.query
    filters, place = _place(request)
    agent, score, kind = query.get("agent", ""), query.get("score", ""), query.get("kind", "csat")
    numbers = (agent, score)
    if kind not in KINDS or not all(n == "" or (n.isascii() and n.isdigit() and len(n) < 19) for n in numbers):
        raise web.HTTPBadRequest(text=say(request, "This address is damaged: go back to the reports."))
    async with request.app[LINE].database.read() as session:
        found = await rows.surveys(
            session,
            filters,
            place,
            int(agent) if agent else None,
            int(score) if score else None,
            is_answered=query.get("answered") == "yes",
            kind=kind,
        )
        context = await choices(session, filters)
    shown = {name: query[name] for name in ("agent", "score", "answered", "kind") if query.get(name)}
    more: dict[str, Any] = {"found": found, "shown": shown, "highest": HIGHEST}
    return await report_page(request, "reports/surveys.html", filters, **more, **context)


@routes.get("/reports/answers", name="report_answers")
@needs(*MAY_READ)
async def answer_rows(request: web.Request) -> web.Response:
    """First answers behind a figure."""
    filters, place = _place(request)
    async with request.app[LINE].database.read() as session:
        found = await rows.answers(session, filters, place)
        context = await choices(session, filters)
    return await report_page(request, "reports/answers.html", filters, found=found, shown={}, **context)


@routes.get("/reports/promises", name="report_promises")
@needs(*MAY_READ)
async def promise_rows(request: web.Request) -> web.Response:
    """Promises behind a figure."""
    filters, place = _place(request)
    shown = {name: request.query[name] for name in ("state", "measure") if request.query.get(name)}
    async with request.app[LINE].database.read() as session:
        found = await _asked(promises.promises(session, filters, place, **shown))
        context = await choices(session, filters)
    return await report_page(request, "reports/promises.html", filters, found=found, shown=shown, **context)


async def report_page(
    request: web.Request, template: str, filters: Filters, status: int = 200, **context: Any
) -> web.Response:
    """A page of the reports with what all their templates use."""
    formats = _formats(request)
    return await page(
        request,
        template,
        status,
        nav="reports",
        filters=filters,
        presets=PRESETS,
        label=spoken(request),
        short_day=lambda day: format_date(day, "EEE d MMM", locale=formats.locale),
        long_day=lambda day: format_date(day, "long", locale=formats.locale),
        wait=lambda seconds: wait(seconds, formats),
        link=links.link,
        preset_query=lambda days: replace(filters, preset=days).query(**context.get("shown", {})),
        older=filters.query(**context["shown"], after=context["found"].next) if "found" in context else "",
        **context,
    )


async def choices(session: AsyncSession, filters: Filters) -> dict[str, Any]:
    """What the filter bar offers."""
    channels = await session.execute(select(col(Channel.id), col(Channel.name)).order_by(col(Channel.name)))
    teams = await session.execute(select(col(Team.id), col(Team.name)).order_by(col(Team.name)))
    used = await used_languages(session, filters)
    named = [name for name in [*used, filters.language] if name]
    return {"channels": channels.all(), "teams": teams.all(), "used_languages": sorted(set(named))}


async def _table(request: web.Request, name: str) -> tuple[Filters, Table]:
    filters = asked_filters(request)
    async with request.app[LINE].database.read() as session:
        return filters, await TABLES[name](session, filters)


def _labels(request: web.Request) -> dict[str, str]:
    return {name: request.query[name] for name in ("sentiment", "complaint") if request.query.get(name)}


def _is_raw(request: web.Request) -> bool:
    """Whether a file should keep personal data, which administrators alone may ask for."""
    if request.query.get("raw") != "yes":
        return False
    if request[AGENT].role != Role.ADMIN:
        raise web.HTTPForbidden(text=say(request, "Only administrators may export personal data."))
    return True


async def csv_file(request: web.Request, filters: Filters, table: Table) -> web.Response:
    """A table as a file; masking thousands of texts takes seconds, so it is written off the event loop."""
    called = f"{table.name}-{filters.period.first}-{filters.period.last}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{called}"', "Cache-Control": "no-store"}
    is_raw = _is_raw(request)
    manner = "raw" if is_raw else "masked"
    log.info("agent %s exported %s: %s rows, %s", request[AGENT].id, table.name, len(table.rows), manner)
    text = await asyncio.to_thread(csv_text, table, spoken(request), is_raw=is_raw)
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=headers)


def asked_filters(request: web.Request) -> Filters:
    """The filters in the address; a wrong one is answered with a sentence."""
    line = request.app[LINE]
    try:
        return read_filters(request.query, line.now(), ZoneInfo(line.settings.engagement.time_zone))
    except FilterError as error:
        raise web.HTTPBadRequest(text=say(request, str(error).replace("%", "%%"))) from None


def _filters_or_default(request: web.Request) -> tuple[Filters, str]:
    """The page itself shows a wrong filter as a sentence above the usual week."""
    try:
        return asked_filters(request), ""
    except web.HTTPBadRequest as error:
        line = request.app[LINE]
        return read_filters({}, line.now(), ZoneInfo(line.settings.engagement.time_zone)), error.text or ""


def _place(request: web.Request) -> tuple[Filters, rows.Place | None]:
    filters = asked_filters(request)
    try:
        return filters, rows.Place.read(request.query.get("after", ""))
    except FilterError as error:
        raise web.HTTPBadRequest(text=say(request, str(error))) from None


async def _asked(found: Awaitable[T]) -> T:
    try:
        return await found
    except FilterError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def spoken(request: web.Request) -> Callable[[str], str]:
    """Titles and labels in the language of the screen."""
    catalogue = translations(language(request))

    def say_label(text: str) -> str:
        found: str = catalogue.gettext(LABELS.get(text) or word("language", text))
        return found

    return say_label


def _formats(request: web.Request) -> Formats:
    return Formats(language(request), request.app[LINE].settings.engagement.time_zone)
