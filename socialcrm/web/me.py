"""What an agent sets about themselves: language of the screens and presence."""

from urllib.parse import urlsplit

from aiohttp import web
from sqlmodel import col, update

from socialcrm.domain.people import Agent, Presence
from socialcrm.domain.words import clean
from socialcrm.engine.leave import GONE
from socialcrm.web.guard import local_path
from socialcrm.web.i18n import LANGUAGES
from socialcrm.web.keys import AGENT, LINE

routes = web.RouteTableDef()
NOTE_LENGTH = 40


@routes.post("/me/language", name="my_language")
async def set_language(request: web.Request) -> web.StreamResponse:
    """Keep the language of the agent's screens."""
    lang = str((await request.post()).get("lang", ""))
    if lang not in LANGUAGES:
        raise web.HTTPBadRequest()
    await _set(request, locale=lang)
    raise web.HTTPSeeOther(_back(request))


@routes.post("/me/presence", name="my_presence")
async def set_presence(request: web.Request) -> web.StreamResponse:
    """Whether the agent takes new work now."""
    form = await request.post()
    presence = str(form.get("presence", ""))
    if presence not in tuple(Presence):
        raise web.HTTPBadRequest()
    note = "" if presence == Presence.ONLINE else clean(str(form.get("note", ""))).strip()[:NOTE_LENGTH]
    note = "" if note == GONE else note  # a word of ours
    await _set(request, presence=presence, presence_note=note, presence_at=request.app[LINE].now())
    request.app[LINE].work.set()
    raise web.HTTPSeeOther(_back(request))


async def _set(request: web.Request, **values: object) -> None:
    async with request.app[LINE].database.write() as session:
        await session.execute(update(Agent).where(col(Agent.id) == request[AGENT].id).values(**values))


def _back(request: web.Request) -> str:
    parts = urlsplit(request.headers.get("Referer", ""))
    return local_path(parts.path + (f"?{parts.query}" if parts.query else ""))
