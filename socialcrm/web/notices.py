"""Notices: what somebody should look at, until they have."""

from aiohttp import web
from sqlalchemy import select, update
from sqlmodel import col

from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.sla import Notice
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import N_

routes = web.RouteTableDef()

SHOWN = 100
TITLES = {
    "sla_warning": N_("At risk"),
    "sla_breached": N_("Late"),
    "sla_escalated": N_("Late for long"),
    "case_due": N_("Complaint"),
    "case_late": N_("Complaint"),
    "case_reopened": N_("Complaint"),
}


@routes.get("/notices", name="notices")
async def notices(request: web.Request) -> web.Response:
    """The newest notices of who looks, those not seen first."""
    async with request.app[LINE].database.read() as session:
        query = (
            select(Notice, col(Contact.name))
            .join(Conversation, col(Conversation.id) == col(Notice.conversation_id))
            .join(Contact, col(Contact.id) == col(Conversation.contact_id))
            .where(col(Notice.agent_id) == request[AGENT].id)
            .order_by(col(Notice.seen_at).is_not(None), col(Notice.id).desc())
            .limit(SHOWN)
        )
        found = (await session.execute(query)).all()
    has_new = any(notice.seen_at is None for notice, _ in found)
    return await page(request, "notices.html", nav="notices", found=found, has_new=has_new, titles=TITLES)


@routes.post("/notices/seen", name="notices_seen")
async def seen(request: web.Request) -> web.StreamResponse:
    """All of them were seen."""
    await _see(request)
    raise web.HTTPSeeOther("/notices")


@routes.post(r"/notices/{id:\d{1,18}}", name="notice")
async def follow(request: web.Request) -> web.StreamResponse:
    """Look at what a notice is about: it was seen."""
    number = int(request.match_info["id"])
    async with request.app[LINE].database.read() as session:
        row = await session.get(Notice, number)
    if row is None or row.agent_id != request[AGENT].id:
        raise web.HTTPNotFound
    await _see(request, number)
    raise web.HTTPSeeOther(f"/inbox/{row.conversation_id}")


async def _see(request: web.Request, number: int | None = None) -> None:
    line = request.app[LINE]
    change = update(Notice).where(col(Notice.agent_id) == request[AGENT].id, col(Notice.seen_at).is_(None))
    if number is not None:
        change = change.where(col(Notice.id) == number)
    async with line.database.write() as session:
        await session.execute(change.values(seen_at=line.now()))
