"""The inbox: the queue at the side of the open conversation."""

from typing import Any

from aiohttp import web

from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.promises import most_pressing
from socialcrm.web.queue import COUNTED, MOST, PAGE, STATUSES, TABS, View, counts, rows

routes = web.RouteTableDef()


@routes.get("/inbox", name="inbox")
async def inbox(request: web.Request) -> web.Response:
    """The queue, and room for a conversation."""
    cursor = await request.app[LINE].live.cursor()
    return await page(request, "inbox.html", nav="inbox", cursor=cursor, **await queue_context(request, None))


@routes.get("/inbox/queue", name="queue")
async def queue(request: web.Request) -> web.Response:
    """The queue alone, or its next rows when `before` says where to go on: for htmx."""
    template = "inbox/rows.html" if "before" in request.query else "inbox/queue.html"
    open_id = request.query.get("open", "")
    shown = int(open_id) if open_id.isdigit() else None
    return await page(request, template, **await queue_context(request, shown))


async def queue_context(request: web.Request, open_id: int | None) -> dict[str, Any]:
    """What the queue's templates need."""
    view, agent = View.of(request), request[AGENT]
    shown = request.query.get("shown", "")
    limit = min(max(int(shown), PAGE), MOST) if shown.isdigit() and len(shown) < 6 else PAGE
    async with request.app[LINE].database.read() as session:
        found, has_more = await rows(session, view, agent, request.query.get("before", ""), limit)
        numbers = await counts(session, view, agent)
        slas = await most_pressing(session, (row.conversation.id or 0 for row in found), request.app[LINE].now())
    return {
        "view": view,
        "rows": found,
        "slas": slas,
        "has_more": has_more,
        "counts": numbers,
        "most": COUNTED,
        "tabs": TABS,
        "statuses": tuple(STATUSES),
        "open_id": open_id,
    }
