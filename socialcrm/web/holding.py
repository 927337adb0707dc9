"""Let a conversation wait for its customer or for somebody outside, and go on with it."""

from aiohttp import web

from socialcrm.domain.sla import Pause
from socialcrm.engine import hold
from socialcrm.web.conversation import ACTING, done, find
from socialcrm.web.guard import needs
from socialcrm.web.keys import AGENT, LINE

routes = web.RouteTableDef()


@routes.post(r"/inbox/{id:\d{1,18}}/hold/{reason:customer|third_party}", name="conversation_hold")
@needs(*ACTING)
async def wait(request: web.Request) -> web.StreamResponse:
    """Stop the clocks of its promises, as far as their policies say so."""
    line, reason = request.app[LINE], Pause(request.match_info["reason"])
    async with line.database.write() as session:
        await hold.hold(session, line, await find(session, request), reason, request[AGENT])
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/go-on", name="conversation_go_on")
@needs(*ACTING)
async def go_on(request: web.Request) -> web.StreamResponse:
    """Go on with it."""
    line = request.app[LINE]
    async with line.database.write() as session:
        await hold.go_on(session, line, await find(session, request), request[AGENT])
    return await done(request)
