"""Drafts by a language model: asked for by an agent, put into the composer, sent by nobody but the agent."""

from aiohttp import web

from socialcrm.domain.conversation import Conversation
from socialcrm.engine.draft import CannotDraft, draft
from socialcrm.web.conversation import ACTING
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import LINE
from socialcrm.web.reasons import reason
from socialcrm.web.suggestions import SUGGESTIONS

routes = web.RouteTableDef()


@routes.post(r"/inbox/{id:\d{1,18}}/draft", name="conversation_draft")
@needs(*ACTING)
async def make(request: web.Request) -> web.Response:
    """The draft as plain text, for the composer's script; or why there is none, in words."""
    line, number = request.app[LINE], int(request.match_info["id"])
    async with line.database.read() as session:
        if await session.get(Conversation, number) is None:
            raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
    offers = await request.app[SUGGESTIONS].offers(number)
    try:
        text = await draft(line, number, [offer.text for offer in offers if offer.source.startswith("faq:")])
    except CannotDraft as error:
        return web.Response(text=reason(str(error), translations(language(request)).gettext), status=409)
    return web.Response(text=text, headers={"Cache-Control": "no-store"})
