"""Suggested answers: up to three above the composer, to choose, change and send, or to wave away."""

import re
from typing import Any

from aiohttp import web
from sqlalchemy.exc import IntegrityError

from socialcrm.domain.conversation import Conversation
from socialcrm.engine.suggest import Suggestions, dismiss
from socialcrm.web.conversation import ACTING
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.words import word

routes = web.RouteTableDef()

SUGGESTIONS = web.AppKey("suggestions", Suggestions)
_SOURCE = re.compile(r"(?:faq:.{1,100}|answer:\d{1,18}|rule:\d{1,18})")
_HIDDEN = re.compile(r"\[(name|phone|email|card|account|number|order|case)\]")


def setup(app: web.Application) -> None:
    """Make what finds suggestions; it reads nothing before it is asked."""
    app[SUGGESTIONS] = Suggestions(app[LINE])


@routes.get(r"/conversations/{id:\d{1,18}}/suggestions", name="suggestions")
@needs(*ACTING)
async def show(request: web.Request) -> web.Response:
    """The suggestions for what the customer asks now; an empty page when there are none. For the inbox's script."""
    return await _page(request, int(request.match_info["id"]))


@routes.post(r"/conversations/{id:\d{1,18}}/suggestions/dismiss", name="suggestion_dismiss")
@needs(*ACTING)
async def wave_away(request: web.Request) -> web.Response:
    """This one does not help here; then those that are left."""
    line, number = request.app[LINE], int(request.match_info["id"])
    source = str((await request.post()).get("source", ""))
    if not _SOURCE.fullmatch(source):
        raise web.HTTPBadRequest()
    await _check(request, number)
    try:
        async with line.database.write() as session:
            await dismiss(session, number, source, request[AGENT], line.now())
    except IntegrityError:
        pass  # a colleague said so at the same moment
    return await _page(request, number)


async def _page(request: web.Request, number: int) -> web.Response:
    await _check(request, number)
    offers = await request.app[SUGGESTIONS].offers(number)
    told: Any = translations(language(request)).gettext
    texts = [_HIDDEN.sub(lambda found: f"[{told(word('entity', found[1]))}]", offer.text) for offer in offers]
    return await page(
        request, "inbox/suggestions.html", conversation_id=number, offers=list(zip(offers, texts, strict=True))
    )


async def _check(request: web.Request, number: int) -> None:
    async with request.app[LINE].database.read() as session:
        if await session.get(Conversation, number) is None:
            raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
