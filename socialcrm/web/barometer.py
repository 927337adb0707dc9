"""The satisfaction barometer: the index of each kind of survey per day or week, and who stands where."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from aiohttp import web

from socialcrm.domain.survey_form import SCALES
from socialcrm.reports import links
from socialcrm.reports.barometer import FEW, PARTS, Index, barometer, kinds, standing
from socialcrm.reports.charts import Look
from socialcrm.reports.charts_barometer import index_chart
from socialcrm.reports.filters import Filters
from socialcrm.reports.tables import Table
from socialcrm.web.guard import needs
from socialcrm.web.i18n import Formats, language
from socialcrm.web.keys import LINE
from socialcrm.web.reports import MAY_READ, asked_filters, choices, csv_file, report_page, spoken
from socialcrm.web.survey_builder import KINDS
from socialcrm.web.words import N_

routes = web.RouteTableDef()

PER = {"day": N_("per day"), "week": N_("per week")}
MEANS = {
    "csat": N_("Share of answers that are 4 or 5, from 0 to 100."),
    "nps": N_("Share of 9 and 10 less the share of 0 to 6, from -100 to 100."),
    "ces": N_("Share of answers from 5 to 7, from 0 to 100."),
    "case_check": N_("Share of problems that customers call solved, from 0 to 100."),
}


@routes.get("/reports/barometer", name="barometer")
@needs(*MAY_READ)
async def show(request: web.Request) -> web.Response:
    """All figures of one kind of survey in a period."""
    filters, (kind, per) = asked_filters(request), _asked(request)
    async with request.app[LINE].database.read() as session:
        found = await kinds(session, filters)
        table = await barometer(session, filters, kind, per)
        parts = {part: await standing(session, filters, kind, part) for part in PARTS}
        context = await choices(session, filters)
    shown = {"kind": kind, "per": per}
    return await report_page(
        request,
        "reports/barometer.html",
        filters,
        table=table,
        parts=parts,
        whole=found.get(kind, Index(kind)),
        kind=kind,
        per=per,
        kinds={name: (KINDS[name][0], found.get(name, Index(name))) for name in SCALES},
        pers=PER,
        means=MEANS[kind],
        few=FEW,
        shown=shown,
        opens=lambda table, row, key, filters: _opens(table, row, key, filters, kind, per),
        **context,
    )


@routes.get("/reports/barometer.json", name="barometer_chart")
@needs(*MAY_READ)
async def chart(request: web.Request) -> web.Response:
    """The Vega-Lite specification of its chart, with its data."""
    filters, (kind, per) = asked_filters(request), _asked(request)
    async with request.app[LINE].database.read() as session:
        table = await barometer(session, filters, kind, per)
    locale = Formats(language(request), request.app[LINE].settings.engagement.time_zone).locale
    look = Look(spoken(request), [locale.months["stand-alone"]["abbreviated"][n] for n in range(1, 13)])
    spec = index_chart(table, look, -100 if kind == "nps" else 0)
    return web.json_response(spec, headers={"Cache-Control": "no-store"})


@routes.get("/reports/barometer.csv", name="barometer_csv")
@needs(*MAY_READ)
async def file(request: web.Request) -> web.Response:
    """Its table as a file for spreadsheets; `part` for that of agents, teams or channels."""
    filters, (kind, per) = asked_filters(request), _asked(request)
    part = request.query.get("part", "")
    async with request.app[LINE].database.read() as session:
        if part in PARTS:
            table = await standing(session, filters, kind, part)
        else:
            table = await barometer(session, filters, kind, per)
    return await csv_file(request, filters, replace(table, name=f"{kind}_{table.name}"))


def _asked(request: web.Request) -> tuple[str, str]:
    kind, per = request.query.get("kind", "csat"), request.query.get("per", "day")
    return kind if kind in SCALES else "csat", per if per in PER else "day"


def _opens(table: Table, row: Any, key: str, filters: Filters, kind: str, per: str) -> str:
    """The address of the surveys that a cell counts; empty where it counts none."""
    if key not in ("sent", "answered") or not row.get(key):
        return ""
    day = row.get("day")
    if isinstance(day, date):
        last = day + timedelta(days=6 - day.weekday()) if per == "week" else day
        filters = filters.on(day, min(last, filters.period.last))
    part = {table.name.removeprefix("standing_"): row["id"] or 0} if table.name.startswith("standing_") else {}
    return links.surveys(filters, kind=kind, **part, answered="" if key == "sent" else "yes")
