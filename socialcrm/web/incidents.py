"""Incidents: one cause behind many complaints, and the news that everybody who complained is told."""

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case
from socialcrm.domain.casework import CannotMove
from socialcrm.domain.incident import Incident, IncidentNews, IncidentStatus
from socialcrm.domain.people import Role
from socialcrm.engine import news
from socialcrm.reports import incidents as report
from socialcrm.reports.caselist import CaseFilters, rows
from socialcrm.web.cases import zone_of
from socialcrm.web.conversation import ACTING, said
from socialcrm.web.guard import needs
from socialcrm.web.i18n import LANGUAGES, language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page

routes = web.RouteTableDef()
LEADING = (Role.SUPERVISOR, Role.ADMIN)
"""Who writes to everybody at once."""
WRITTEN = ("fr", "ar", "en")


@routes.get("/cases/incidents", name="incidents")
async def incidents(request: web.Request) -> web.Response:
    """All incidents, and what looks like a new one."""
    line = request.app[LINE]
    async with line.database.read() as session:
        open_ones = await report.summaries(session, IncidentStatus.OPEN)
        over = await report.summaries(session, IncidentStatus.CLOSED)
        suspected = await report.suspicions(session, line.settings.cases, line.now())
    return await page(
        request,
        "cases/incidents.html",
        nav="cases",
        open_ones=open_ones,
        over=over,
        suspected=suspected,
        said=translations(language(request)).gettext,
        may_act=request[AGENT].role in ACTING,
        error="",
    )


@routes.post("/cases/incidents", name="incident_open")
@needs(*ACTING)
async def make(request: web.Request) -> web.StreamResponse:
    """Make an incident of the cases that the form names; with none, an empty one that cases can join."""
    line, form = request.app[LINE], await request.post()
    named = [str(value) for value in form.getall("case", [])]
    numbers = [int(text) for text in named if text.isascii() and text.isdecimal() and len(text) < 19]
    try:
        async with line.database.write() as session:
            found = await news.open_incident(
                session,
                line,
                str(form.get("title", "")),
                numbers,
                request[AGENT],
                reason=str(form.get("reason", ""))[:40],
                place=str(form.get("place", ""))[:80],
            )
            number = found.id
    except CannotMove as error:
        raise web.HTTPUnprocessableEntity(text=said(request, error)) from None
    line.live.ring()
    raise web.HTTPSeeOther(f"/cases/incidents/{number}")


@routes.get(r"/cases/incidents/{id:\d{1,18}}", name="incident")
async def show(request: web.Request) -> web.Response:
    """One incident."""
    return await _page(request)


@routes.post(r"/cases/incidents/{id:\d{1,18}}/{deed:join|close|reopen}", name="incident_do")
@needs(*ACTING)
async def do(request: web.Request) -> web.StreamResponse:
    """Let the cases that look like it join, or say that it is over, or not."""
    line, deed = request.app[LINE], request.match_info["deed"]
    try:
        async with line.database.write() as session:
            incident = await _find(session, request)
            if deed == "join":
                numbers = await report.candidates(session, incident)
                await news.join(session, line, incident.id or 0, numbers, request[AGENT])
            elif deed == "close":
                await news.end(session, line, incident)
            else:
                await news.again(session, incident)
    except CannotMove as error:
        return await _page(request, 409, said(request, error))
    line.live.ring()
    line.work.set()
    raise web.HTTPSeeOther(f"/cases/incidents/{request.match_info['id']}")


@routes.post(r"/cases/incidents/{id:\d{1,18}}/news", name="incident_news")
@needs(*LEADING)
async def write(request: web.Request) -> web.StreamResponse:
    """Tell news to everybody with a case of the incident."""
    line, form = request.app[LINE], await request.post()
    texts = {name: str(form.get(name, "")).replace("\r\n", "\n") for name in WRITTEN}
    try:
        async with line.database.write() as session:
            await _find(session, request)
            incident = await news.locked(session, int(request.match_info["id"]))
            if incident is None:
                raise web.HTTPNotFound
            await news.publish(session, line, incident, texts, request[AGENT], resolves=form.get("resolves") == "yes")
    except CannotMove as error:
        return await _page(request, 422, said(request, error), texts)
    line.work.set()
    raise web.HTTPSeeOther(f"/cases/incidents/{request.match_info['id']}#news")


async def _find(session: AsyncSession, request: web.Request) -> Incident:
    found = await session.get(Incident, int(request.match_info["id"]))
    if found is None:
        raise web.HTTPNotFound(text=say(request, "There is no such incident."))
    return found


async def _page(
    request: web.Request, status: int = 200, error: str = "", texts: dict[str, str] | None = None
) -> web.Response:
    line, agent = request.app[LINE], request[AGENT]
    async with line.database.read() as session:
        incident = await _find(session, request)
        summary = await report.summary(session, incident)
        query = select(IncidentNews).where(col(IncidentNews.incident_id) == incident.id)
        written = (await session.execute(query.order_by(col(IncidentNews.id).desc()))).scalars().all()
        filters = CaseFilters(status="all", incident=incident.id)
        shown, has_more = await rows(session, filters, agent.id, line.now(), zone_of(request))
        proposed = await report.candidates(session, incident) if incident.status == "open" else []
        asked = select(Case).where(col(Case.id).in_(proposed[:5])).order_by(col(Case.id))
        context = {
            "told": await news.counts(session, [each.id or 0 for each in written]),
            "proposed": proposed,
            "examples": (await session.execute(asked)).scalars().all(),
        }
    return await page(
        request,
        "cases/incident.html",
        status,
        nav="cases",
        incident=incident,
        summary=summary,
        written=written,
        rows=shown,
        has_more=has_more,
        filters=filters,
        error=error,
        texts=texts or {},
        languages_written={name: LANGUAGES[name] for name in WRITTEN},
        may_act=agent.role in ACTING,
        may_lead=agent.role in LEADING,
        is_late=lambda case: False,
        **context,
    )
