"""What people talk about: a section of the reports, a page of its own, and a file."""

import asyncio

from aiohttp import web

from socialcrm.reports import topics
from socialcrm.reports.filters import SENTIMENTS, Filters
from socialcrm.web.guard import needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import LINE
from socialcrm.web.page import is_partial
from socialcrm.web.reports import MAY_READ, asked_filters, choices, csv_file, report_page

routes = web.RouteTableDef()
SHOWN = 200
"""Messages of a phrase that its page shows."""
TURN = web.AppKey("TURN", asyncio.Lock)
"""Held while topics are found: one at a time leaves the processor to the others."""


@routes.get("/reports/topics", name="report_topics")
@needs(*MAY_READ)
async def page(request: web.Request) -> web.Response:
    """The topics of a period with their typical messages; for htmx the section alone."""
    filters, against = asked_filters(request), _against(request)
    found = await _talk(request, filters, against)
    async with request.app[LINE].database.read() as session:
        context = await choices(session, filters)
    return await report_page(
        request,
        "reports/_topics.html" if is_partial(request) else "reports/topics.html",
        filters,
        talk=found,
        against=against,
        has_others=topics.has_others(filters),
        moods=SENTIMENTS,
        most=topics.MOST,
        before=topics.before(filters.period),
        half=topics.newest_half(filters, found.since) if found.since and not found.baseline_group_count else None,
        shown=_shown(against),
        **context,
    )


@routes.get("/reports/topics/messages", name="report_topic_messages")
@needs(*MAY_READ)
async def messages(request: web.Request) -> web.Response:
    """Every message that says a phrase, the newest first; one that was passed on is there once."""
    filters, against = asked_filters(request), _against(request)
    phrase = request.query.get("phrase", "")
    talk = await _talk(request, filters, against)
    async with request.app[LINE].database.read() as session:
        context = await choices(session, filters)
    return await report_page(
        request,
        "reports/topic_messages.html",
        filters,
        phrase=phrase,
        subject=next((subject for subject in talk.subjects if subject.phrase == phrase), None),
        against=against,
        most=SHOWN,
        shown={**_shown(against), "phrase": phrase},
        **context,
    )


@routes.get("/reports/topics.csv", name="report_topics_csv")
@needs(*MAY_READ)
async def file(request: web.Request) -> web.Response:
    """The topics as a file for spreadsheets."""
    filters = asked_filters(request)
    found = await _talk(request, filters, _against(request))
    return await csv_file(request, filters, topics.table(found))


async def _talk(request: web.Request, filters: Filters, against: topics.Against) -> topics.Talk:
    """Read in one transaction, then find the topics without it, in a thread."""
    async with request.app[LINE].database.read() as session:
        sample = await topics.sample(session, filters, against)
    async with request.app[TURN]:
        return await asyncio.to_thread(topics.talk, sample)


def _shown(against: topics.Against) -> dict[str, str]:
    """What an address carries on beside the filters."""
    return {"against": against} if against != "before" else {}


def _against(request: web.Request) -> topics.Against:
    wanted = request.query.get("against") or "before"
    for known in topics.AGAINST:
        if wanted == known:
            return known
    raise web.HTTPBadRequest(text=say(request, "This address is damaged: go back to the reports."))
