"""What an agent does with a message on its platform: hide, like, boost, delete, and their opposites."""

from aiohttp import web

from socialcrm.domain.message import Message
from socialcrm.engine import act
from socialcrm.web.conversation import ACTING, done
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.reasons import reason

routes = web.RouteTableDef()
DEEDS = "|".join(act.Deed)


@routes.post(rf"/inbox/{{id:\d{{1,18}}}}/messages/{{message:\d{{1,18}}}}/act/{{deed:{DEEDS}}}", name="message_act")
@needs(*ACTING)
async def do(request: web.Request) -> web.StreamResponse:
    """Do it; what the platform says against it comes back in its words, and stays in the thread."""
    line, number = request.app[LINE], int(request.match_info["message"])
    async with line.database.read() as session:
        message = await session.get(Message, number)
    if message is None or message.conversation_id != int(request.match_info["id"]):
        raise web.HTTPNotFound(text=say(request, "There is no such message."))
    try:
        await act.act(line, number, act.Deed(request.match_info["deed"]), request[AGENT])
    except act.CannotAct as error:
        sentence = reason(str(error), translations(language(request)).gettext)
        raise web.HTTPConflict(text=sentence) from None
    return await done(request)
