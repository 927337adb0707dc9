"""The composer: sending what it holds, and what the channel makes of a text before that."""

import logging
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncSession

from connectors.base import Connector, ConnectorError, MessageKind
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Message
from socialcrm.engine import answer, cases, privacy, resolve
from socialcrm.secrets import KeyLost
from socialcrm.web.conversation import ACTING, context_of, done, find, number_of, said
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import page
from socialcrm.web.thread import Head, head
from socialcrm.web.uploads import uploads

NEAR = 0.8
"""From this share of the limit on the length is shown."""

log = logging.getLogger(__name__)
routes = web.RouteTableDef()


@routes.get(r"/inbox/{id:\d{1,18}}/composer", name="conversation_composer")
@needs(*ACTING)
async def composer(request: web.Request) -> web.StreamResponse:
    """The composer alone, for an answer to the comment `private` in private, or to the comment `reply` in public."""
    return await page(request, "inbox/composer.html", **await context_of(request))


@routes.post(r"/inbox/{id:\d{1,18}}/measure", name="conversation_measure")
@needs(*ACTING)
async def measure(request: web.Request) -> web.StreamResponse:
    """How long a text is as the platform counts it. Nothing is kept."""
    form = await request.post()
    async with request.app[LINE].database.read() as session:
        found = await _head(request, session)
    kind = MessageKind.DIRECT_MESSAGE if form.get("to") else found.conversation.kind
    return web.json_response(measured(request, found.connector, kind, _text(form.get("text"))))


@routes.post(r"/inbox/{id:\d{1,18}}/typing", name="conversation_typing")
@needs(*ACTING)
async def typing(request: web.Request) -> web.StreamResponse:
    """Show the customer that somebody is writing, where the channel can; nothing depends on it."""
    line = request.app[LINE]
    async with line.database.read() as session:
        conversation = await session.get(Conversation, int(request.match_info["id"]))
    if conversation is None:
        raise web.HTTPNotFound
    try:
        connector = await line.channels.connector(conversation.channel_id)
        if connector.can("typing"):
            await line.live.tell("agent_typing", conversation.id or 0, line.now())
            await connector.typing(conversation.thread_key)
    except (ConnectorError, KeyLost) as error:
        log.info("conversation %s: typing could not be shown: %s", conversation.id, type(error).__name__)
    return web.Response(status=204)


@routes.post(r"/inbox/{id:\d{1,18}}/answer", name="conversation_answer")
@needs(*ACTING)
async def write(request: web.Request) -> web.StreamResponse:
    """Send a reply, in public or private, keep a note, or send and resolve. The same key again changes nothing."""
    line, agent, form = request.app[LINE], request[AGENT], await request.post()
    text, key = _text(form.get("text")), str(form.get("key", ""))
    if not key or len(key) > 100:
        raise web.HTTPBadRequest()
    try:
        chosen = await uploads(line, int(request.match_info["id"]), agent.id, form.getall("file", ()))
    except answer.CannotAnswer as error:
        raise web.HTTPUnprocessableEntity(text=said(request, error)) from None
    async with line.database.write() as session:
        conversation = await find(session, request)
        try:
            if form.get("mode") == "note":
                await answer.note(session, line, conversation, text, agent, key)
            else:
                to = await _target(session, conversation, str(form.get("to", "")))
                under = await _target(session, conversation, str(form.get("under", "")))
                await _check(request, session, text, to)
                if to is None and form.get("publish") != "yes":
                    await _check_privacy(request, session, conversation, text)
                await answer.reply(session, line, conversation, text, agent, key, chosen, to, under)
                await cases.answered(session, line, conversation, agent)
                if form.get("then") == "resolve":
                    await resolve.resolve(session, line, conversation, agent)
        except answer.CannotAnswer as error:
            raise web.HTTPUnprocessableEntity(text=said(request, error)) from None
    return await done(request, is_answered=True)


async def _target(session: AsyncSession, conversation: Conversation, wanted: str) -> Message | None:
    """The comment that was chosen; None for an answer to the newest."""
    if not wanted:
        return None
    message = await session.get(Message, number_of(wanted) or 0)
    if message is None or message.conversation_id != conversation.id:
        raise answer.CannotAnswer("There is no such comment in this conversation.")
    return message


async def _head(request: web.Request, session: AsyncSession) -> Head:
    found = await head(session, int(request.match_info["id"]))
    if found is None:
        raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
    return found


async def _check(request: web.Request, session: AsyncSession, text: str, to: Message | None) -> None:
    """Whether the channel takes this text; says what to do where it does not."""
    found = await _head(request, session)
    if to is None and not found.can_reply:
        raise answer.CannotAnswer("This channel cannot carry an answer.")
    kind = MessageKind.DIRECT_MESSAGE if to else found.conversation.kind
    limit, length = found.connector.limits.text_length_of(kind), found.connector.length(text)
    if length > limit:
        sentence = say(
            request,
            "This channel takes %(limit)s characters; the text has %(length)s. Shorten it by %(over)s.",
            limit=limit,
            length=length,
            over=length - limit,
        )
        raise web.HTTPUnprocessableEntity(text=sentence)


async def _check_privacy(request: web.Request, session: AsyncSession, conversation: Conversation, text: str) -> None:
    if found := await privacy.given_away(session, conversation, text):
        sentence = say(
            request,
            "Everybody can read this answer, and it has personal data of the customer: %(data)s. Take it out, or tick"
            " “With personal data”.",
            data=", ".join(found),
        )
        raise web.HTTPUnprocessableEntity(text=sentence)


def measured(request: web.Request, connector: type[Connector], kind: str, text: str) -> dict[str, Any]:
    """What a text is to the platform: {"says", "level"}; level is "", "near" or "over" its limit."""
    limit, length = connector.limits.text_length_of(kind), connector.length(text)
    catalogue = translations(language(request))
    level = "over" if length > limit else "near" if length >= NEAR * limit else ""
    says = [f"{length} / {limit}"] if level else []
    if segments := connector.segments(text):
        said_so = catalogue.ngettext("%(num)s SMS", "%(num)s SMS", segments) % {"num": segments}
        says = [said_so, f"{length} / {limit}"]
    if level == "over":
        over = length - limit
        says.append(catalogue.ngettext("%(num)s too many", "%(num)s too many", over) % {"num": over})
    return {"says": " · ".join(says), "level": level}


def _text(field: object) -> str:
    return str(field or "").replace("\r\n", "\n")
