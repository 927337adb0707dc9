"""How loyal a customer is, as agents choose it beside a conversation; routing counts it."""

from aiohttp import web
from sqlalchemy import update
from sqlmodel import col

from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.engine.routing import routing_in_force
from socialcrm.web.conversation import ACTING, done, find
from socialcrm.web.guard import needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import LINE

routes = web.RouteTableDef()


@routes.post(r"/inbox/{id:\d{1,18}}/tier", name="conversation_tier")
@needs(*ACTING)
async def set_tier(request: web.Request) -> web.StreamResponse:
    """Keep it with the customer; all that they wait for is counted anew."""
    line, tier = request.app[LINE], str((await request.post()).get("tier", ""))
    async with line.database.write() as session:
        conversation = await find(session, request)
        contact = await session.get_one(Contact, conversation.contact_id)
        if tier and tier != contact.tier and tier not in (await routing_in_force(session, line)).weights.tiers:
            raise web.HTTPUnprocessableEntity(text=say(request, "There is no such loyalty any more: reload the page."))
        contact.tier = tier
        theirs = update(Conversation).where(col(Conversation.contact_id) == contact.id)
        await session.execute(theirs.values(scored_at=None))
        await line.live.publish(session, "conversation", [conversation.id or 0], line.now())
    return await done(request)
