"""Complaints: a list and a board with filters, how old they are, and the same as a file."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.intents import REASONS
from socialcrm.domain.case import CaseStatus, Cause, Severity
from socialcrm.domain.casework import MOVES, Ageing, is_overdue
from socialcrm.domain.channel import Channel
from socialcrm.domain.incident import Incident, IncidentStatus
from socialcrm.domain.people import Agent, Role, Team
from socialcrm.reports import caselist
from socialcrm.reports.caselist import CaseFilters
from socialcrm.reports.export import csv_text
from socialcrm.reports.incidents import suspicions
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_, WORDS

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

TABS = {
    "active": N_("To solve"),
    "resolved": N_("Waiting for confirmation"),
    "closed": N_("Closed"),
    "all": N_("All"),
}
COLUMN_WORDS = (
    *(N_("Reference"), N_("Opened"), N_("Status"), N_("Severity"), N_("Reason"), N_("Department"), N_("Owner")),
    *(N_("Due"), N_("Overdue"), N_("Age in hours"), N_("Solved"), N_("Outcome"), N_("Times reopened"), N_("Delays")),
    *(N_("Root cause"), N_("Redress"), N_("What was given"), N_("Closure note")),
)
"""Titles of the file that no other page names."""
MAY_BE_RAW = (Role.SUPERVISOR, Role.ADMIN)
SPOKEN = ("case_status", "severity", "reason", "outcome", "cause", "redress")


@routes.get("/cases", name="cases")
async def cases(request: web.Request) -> web.Response:
    """The list, or the board."""
    line, agent = request.app[LINE], request[AGENT]
    filters = CaseFilters.read(request.query)
    is_board = request.query.get("view") == "board"
    now, zone = line.now(), zone_of(request)
    async with line.database.read() as session:
        context = await choices(session)
        if is_board:
            context["columns"] = await caselist.board(session, filters, agent.id, now, zone)
        else:
            found = await caselist.rows(session, filters, agent.id, now, zone, after=request.query.get("after", ""))
            context["rows"], has_more = found
            context["next"] = caselist.key_of(filters, found[0][-1]) if has_more else ""
            context["counts"] = {
                name: await caselist.count(session, CaseFilters.read({**request.query, "status": name, "q": ""}), *me)
                for name in TABS
                for me in [(agent.id, now, zone)]
            }
            context["ageing"] = Ageing.of(await caselist.ages(session, filters, agent.id, now, zone)).counts
        suspected = await suspicions(session, line.settings.cases, now)
    return await page(
        request,
        "cases/board.html" if is_board else "cases/list.html",
        nav="cases",
        filters=filters,
        tabs=TABS,
        said=translations(language(request)).gettext,
        suspected=suspected,
        moves=MOVES,
        is_late=lambda case: is_overdue(case, now),
        counted=caselist.COUNTED,
        may_act=agent.role != Role.ANALYST,
        may_be_raw=agent.role in MAY_BE_RAW,
        **context,
    )


@routes.get("/cases.csv", name="cases_csv")
async def file(request: web.Request) -> web.Response:
    """The view as a file for spreadsheets; with names and personal data for supervisors and administrators who ask."""
    line, agent = request.app[LINE], request[AGENT]
    is_raw = request.query.get("raw") == "yes"
    if is_raw and agent.role not in MAY_BE_RAW:
        raise web.HTTPForbidden(text=say(request, "Only supervisors and administrators may export personal data."))
    filters = CaseFilters.read(request.query)
    async with line.database.read() as session:
        table = await caselist.table(session, filters, agent.id, line.now(), zone_of(request), is_raw=is_raw)
    log.info("agent %s exported cases: %s rows, %s", agent.id, len(table.rows), "raw" if is_raw else "masked")
    text = await asyncio.to_thread(csv_text, table, spoken(request), is_raw=is_raw)
    headers = {"Content-Disposition": 'attachment; filename="complaints.csv"', "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=headers)


async def choices(session: AsyncSession) -> dict[str, Any]:
    """What the filters and forms offer."""
    channels = await session.execute(select(col(Channel.id), col(Channel.name)).order_by(col(Channel.name)))
    teams = await session.execute(select(col(Team.id), col(Team.name)).order_by(col(Team.name)))
    people = select(col(Agent.id), col(Agent.name)).where(col(Agent.is_active), col(Agent.role) != Role.ANALYST.value)
    incidents = select(col(Incident.id), col(Incident.title)).where(col(Incident.status) == IncidentStatus.OPEN.value)
    return {
        "channels": channels.all(),
        "teams": teams.all(),
        "agents": (await session.execute(people.order_by(col(Agent.name)))).all(),
        "incidents": (await session.execute(incidents.order_by(col(Incident.id).desc()))).all(),
        "severities": list(Severity),
        "reasons": REASONS,
        "causes": [cause for cause in Cause if cause],
        "statuses": list(CaseStatus),
    }


def zone_of(request: web.Request) -> ZoneInfo:
    """The clocks of the company."""
    return ZoneInfo(request.app[LINE].settings.engagement.time_zone)


def spoken(request: web.Request) -> Callable[[str], str]:
    """Titles and labels in the language of the screen."""
    gettext = translations(language(request)).gettext
    words = {value: text for kind in SPOKEN for value, text in WORDS[kind].items()}
    words |= {"yes": N_("Yes"), "no": N_("No"), "": ""}
    return lambda text: gettext(words.get(text, text)) if words.get(text, text) else ""
