"""One conversation: its thread, its composer, and what an agent can do with it."""

import logging
from typing import Any

from aiohttp import web
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from connectors.base import ConnectorError
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Message
from socialcrm.domain.people import Agent, Role
from socialcrm.engine import answer, assign, privacy, resolve
from socialcrm.secrets import KeyLost, new_token
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.inbox import queue_context
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import is_partial, page
from socialcrm.web.queue import View
from socialcrm.web.reasons import reason
from socialcrm.web.thread import Head, Thread, head, thread

ACTING = (Role.AGENT, Role.SUPERVISOR, Role.ADMIN)
"""Who works on conversations; analysts read them."""

log = logging.getLogger(__name__)
routes = web.RouteTableDef()


@routes.get(r"/inbox/{id:\d{1,18}}", name="conversation")
async def show(request: web.Request) -> web.Response:
    """The conversation beside the queue; for htmx the conversation alone."""
    cursor = await request.app[LINE].live.cursor()  # before the rows: what comes in between is shown twice, not never
    context = await _context(request)
    if is_partial(request):
        return await page(request, "inbox/conversation.html", **context)
    number = context["head"].conversation.id
    return await page(
        request, "inbox.html", nav="inbox", cursor=cursor, **{**await queue_context(request, number), **context}
    )


@routes.get(r"/inbox/{id:\d{1,18}}/live", name="conversation_live")
async def refresh(request: web.Request) -> web.Response:
    """The head and the shown part of the thread as they are now: for htmx after a change."""
    return await page(request, "inbox/live.html", is_answered=False, **await _context(request))


@routes.get(r"/inbox/{id:\d{1,18}}/older", name="conversation_older")
async def older(request: web.Request) -> web.Response:
    """The page of the thread before message `before`: for htmx."""
    return await page(request, "inbox/older.html", **await _context(request))


@routes.post(r"/inbox/{id:\d{1,18}}/seen", name="conversation_seen")
@needs(*ACTING)
async def seen(request: web.Request) -> web.StreamResponse:
    """Somebody looked: nothing is unread any more."""
    line = request.app[LINE]
    async with line.database.write() as session:
        conversation = await _find(session, request)
        was_unread = conversation.unread_count > 0
        if was_unread:
            conversation.unread_count = 0
            await session.flush()
            await line.live.publish(session, "conversation", [conversation.id or 0], line.now())
    if was_unread:
        line.live.ring()
    return web.Response(status=204)


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
            await connector.typing(conversation.thread_key)
    except (ConnectorError, KeyLost) as error:
        log.info("conversation %s: typing could not be shown: %s", conversation.id, type(error).__name__)
    return web.Response(status=204)


@routes.post(r"/inbox/{id:\d{1,18}}/answer", name="conversation_answer")
@needs(*ACTING)
async def write(request: web.Request) -> web.StreamResponse:
    """Send a reply, keep a note, or send and resolve. The same key again changes nothing."""
    line, agent, form = request.app[LINE], request[AGENT], await request.post()
    text, key = str(form.get("text", "")), str(form.get("key", ""))
    if not key or len(key) > 100:
        raise web.HTTPBadRequest()
    text = text.replace("\r\n", "\n")
    async with line.database.write() as session:
        conversation = await _find(session, request)
        try:
            if form.get("mode") == "note":
                await answer.note(session, line, conversation, text, agent, key)
            else:
                await _check_length(request, session, conversation, text)
                if form.get("publish") != "yes":
                    await _check_privacy(request, session, conversation, text)
                await answer.reply(session, line, conversation, text, agent, key)
                if form.get("then") == "resolve":
                    await resolve.resolve(session, line, conversation, agent)
        except answer.CannotAnswer as error:
            raise web.HTTPUnprocessableEntity(text=_said(request, error)) from None
    return await _done(request, is_answered=True)


@routes.post(r"/inbox/{id:\d{1,18}}/assign", name="conversation_assign")
@needs(*ACTING)
async def assign_to(request: web.Request) -> web.StreamResponse:
    """Give the conversation to an agent, or to nobody."""
    line, wanted = request.app[LINE], str((await request.post()).get("agent_id", ""))
    async with line.database.write() as session:
        conversation = await _find(session, request)
        if wanted and not (wanted.isdigit() and await _is_assignable(session, int(wanted))):
            raise web.HTTPUnprocessableEntity(text=say(request, "There is no such agent any more."))
        await assign.assign(session, line, conversation, int(wanted) if wanted else None, request[AGENT])
    return await _done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/take", name="conversation_take")
@needs(*ACTING)
async def take(request: web.Request) -> web.StreamResponse:
    """Take an unassigned conversation; only one of two who try at once gets it."""
    line = request.app[LINE]
    async with line.database.write() as session:
        conversation = await _find(session, request)
        is_mine = conversation.agent_id == request[AGENT].id
        if not is_mine and not await assign.take(session, line, conversation.id or 0, request[AGENT]):
            raise web.HTTPConflict(text=say(request, "Somebody else took this conversation a moment ago."))
    return await _done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/resolve", name="conversation_resolve")
@needs(*ACTING)
async def end(request: web.Request) -> web.StreamResponse:
    """Resolve the conversation."""
    line = request.app[LINE]
    async with line.database.write() as session:
        await resolve.resolve(session, line, await _find(session, request), request[AGENT])
    return await _done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/reopen", name="conversation_reopen")
@needs(*ACTING)
async def bring_back(request: web.Request) -> web.StreamResponse:
    """Reopen the conversation, unless the customer has started a newer one in the same thread."""
    line = request.app[LINE]
    try:
        async with line.database.write() as session:
            await resolve.reopen(session, line, await _find(session, request), request[AGENT])
    except IntegrityError:
        sentence = say(request, "This customer has a newer conversation in the same thread: go on there.")
        raise web.HTTPConflict(text=sentence) from None
    return await _done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/messages/{message:\d{1,18}}/{decision:retry|sent}", name="message_decision")
@needs(*ACTING)
async def decide(request: web.Request) -> web.StreamResponse:
    """What becomes of a message that failed or may have: send it again, or it did arrive."""
    line = request.app[LINE]
    act = answer.retry if request.match_info["decision"] == "retry" else answer.mark_sent
    async with line.database.write() as session:
        message = await session.get(Message, int(request.match_info["message"]))
        if message is None or message.conversation_id != int(request.match_info["id"]):
            raise web.HTTPNotFound()
        try:
            await act(session, line, message)
        except answer.CannotAnswer as error:
            raise web.HTTPConflict(text=_said(request, error)) from None
    return await _done(request)


async def _done(request: web.Request, is_answered: bool = False) -> web.StreamResponse:
    """Wake who waits for the change; then the new state for htmx, or the page for a plain form."""
    line = request.app[LINE]
    line.live.ring()
    line.work.set()
    if "HX-Request" not in request.headers:
        path = request.app.router["conversation"].url_for(id=request.match_info["id"])
        raise web.HTTPSeeOther(path.with_query(View.of(request).query()))
    return await page(request, "inbox/live.html", is_answered=is_answered, **await _context(request))


async def _context(request: web.Request) -> dict[str, Any]:
    number = int(request.match_info["id"])
    async with request.app[LINE].database.read() as session:
        found: Head | None = await head(session, number)
        if found is None:
            raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
        shown: Thread = await thread(
            session, number, before=_number(request.query.get("before")), since=_number(request.query.get("from"))
        )
    return {
        "head": found,
        "thread": shown,
        "view": View.of(request),
        "key": new_token(),
        "may_act": request[AGENT].role in ACTING,
        "limit": found.connector.limits.text_length_of(found.conversation.kind),
    }


async def _find(session: AsyncSession, request: web.Request) -> Conversation:
    query = (
        select(Conversation)
        .where(col(Conversation.id) == int(request.match_info["id"]))
        .with_for_update(key_share=True)
    )
    conversation = (await session.execute(query)).scalar_one_or_none()
    if conversation is None:
        raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
    return conversation


async def _check_length(request: web.Request, session: AsyncSession, conversation: Conversation, text: str) -> None:
    found = await head(session, conversation.id or 0)
    if found and not found.can_reply:
        raise answer.CannotAnswer("This channel cannot carry an answer.")
    length = found.connector.length(text) if found else 0
    if found and length > found.connector.limits.text_length_of(found.conversation.kind):
        sentence = say(
            request,
            "This channel takes %(limit)s characters; the text has %(length)s.",
            limit=found.connector.limits.text_length_of(found.conversation.kind),
            length=length,
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


async def _is_assignable(session: AsyncSession, agent_id: int) -> bool:
    if agent_id >= 2**63:
        return False
    agent = await session.get(Agent, agent_id)
    return agent is not None and agent.is_active and agent.role in ACTING


def _said(request: web.Request, error: Exception) -> str:
    return reason(str(error), translations(language(request)).gettext)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
