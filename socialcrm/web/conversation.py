"""One conversation: its thread, and what an agent can do with it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from connectors.base import Connector
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Message
from socialcrm.domain.people import Agent, Role
from socialcrm.engine import act, answer, assign, hand_over, resolve
from socialcrm.engine.route import why_waiting
from socialcrm.secrets import new_token
from socialcrm.web.guard import needs
from socialcrm.web.i18n import language, say, translations
from socialcrm.web.inbox import queue_context
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.page import is_partial, page
from socialcrm.web.promises import promises_of
from socialcrm.web.queue import View
from socialcrm.web.reasons import reason
from socialcrm.web.thread import Head, Thread, head, thread
from socialcrm.web.window import window_of

ACTING = (Role.AGENT, Role.SUPERVISOR, Role.ADMIN)
"""Who works on conversations; analysts read them."""

routes = web.RouteTableDef()


@routes.get(r"/inbox/{id:\d{1,18}}", name="conversation")
async def show(request: web.Request) -> web.Response:
    """The conversation beside the queue; for htmx the conversation alone."""
    cursor = await request.app[LINE].live.cursor()  # before the rows: what comes in between is shown twice, not never
    context = await context_of(request)
    if is_partial(request):
        return await page(request, "inbox/conversation.html", **context)
    number = context["head"].conversation.id
    return await page(
        request, "inbox.html", nav="inbox", cursor=cursor, **{**await queue_context(request, number), **context}
    )


@routes.get(r"/inbox/{id:\d{1,18}}/live", name="conversation_live")
async def refresh(request: web.Request) -> web.Response:
    """The head and the shown part of the thread as they are now: for htmx after a change."""
    return await page(request, "inbox/live.html", is_answered=False, **await context_of(request))


@routes.get(r"/inbox/{id:\d{1,18}}/older", name="conversation_older")
async def older(request: web.Request) -> web.Response:
    """The page of the thread before message `before`: for htmx."""
    return await page(request, "inbox/older.html", **await context_of(request))


@routes.post(r"/inbox/{id:\d{1,18}}/seen", name="conversation_seen")
@needs(*ACTING)
async def seen(request: web.Request) -> web.StreamResponse:
    """Somebody looked: nothing is unread any more."""
    line = request.app[LINE]
    async with line.database.write() as session:
        conversation = await find(session, request)
        was_unread = conversation.unread_count > 0
        if was_unread:
            conversation.unread_count = 0
            await session.flush()
            await line.live.publish(session, "conversation", [conversation.id or 0], line.now())
    if was_unread:
        line.live.ring()
    return web.Response(status=204)


@routes.post(r"/inbox/{id:\d{1,18}}/assign", name="conversation_assign")
@needs(*ACTING)
async def assign_to(request: web.Request) -> web.StreamResponse:
    """Give the conversation to an agent, or to nobody."""
    line, wanted = request.app[LINE], str((await request.post()).get("agent_id", ""))
    async with line.database.write() as session:
        conversation = await find(session, request)
        if wanted and not (wanted.isdigit() and await _is_assignable(session, int(wanted))):
            raise web.HTTPUnprocessableEntity(text=say(request, "There is no such agent any more."))
        await assign.assign(session, line, conversation, int(wanted) if wanted else None, request[AGENT])
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/take", name="conversation_take")
@needs(*ACTING)
async def take(request: web.Request) -> web.StreamResponse:
    """Take an unassigned conversation; only one of two who try at once gets it."""
    line = request.app[LINE]
    async with line.database.write() as session:
        conversation = await find(session, request)
        if conversation.agent_id is None:
            await hand_over.take_over(session, line, conversation, request[AGENT])
        is_mine = conversation.agent_id == request[AGENT].id
        if not is_mine and not await assign.take(session, line, conversation.id or 0, request[AGENT]):
            raise web.HTTPConflict(text=say(request, "Somebody else took this conversation a moment ago."))
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/resolve", name="conversation_resolve")
@needs(*ACTING)
async def end(request: web.Request) -> web.StreamResponse:
    """Resolve the conversation."""
    line = request.app[LINE]
    async with line.database.write() as session:
        await resolve.resolve(session, line, await find(session, request), request[AGENT])
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/reopen", name="conversation_reopen")
@needs(*ACTING)
async def bring_back(request: web.Request) -> web.StreamResponse:
    """Reopen the conversation, unless the customer has started a newer one in the same thread."""
    line = request.app[LINE]
    try:
        async with line.database.write() as session:
            await resolve.reopen(session, line, await find(session, request), request[AGENT])
    except IntegrityError:
        sentence = say(request, "This customer has a newer conversation in the same thread: go on there.")
        raise web.HTTPConflict(text=sentence) from None
    return await done(request)


@routes.post(r"/inbox/{id:\d{1,18}}/messages/{message:\d{1,18}}/{decision:retry|sent}", name="message_decision")
@needs(*ACTING)
async def decide(request: web.Request) -> web.StreamResponse:
    """What becomes of a message that failed or may have: send it again, or it did arrive."""
    line = request.app[LINE]
    settle = answer.retry if request.match_info["decision"] == "retry" else answer.mark_sent
    async with line.database.write() as session:
        message = await session.get(Message, int(request.match_info["message"]))
        if message is None or message.conversation_id != int(request.match_info["id"]):
            raise web.HTTPNotFound()
        try:
            await settle(session, line, message)
        except answer.CannotAnswer as error:
            raise web.HTTPConflict(text=said(request, error)) from None
    return await done(request)


async def done(request: web.Request, is_answered: bool = False) -> web.StreamResponse:
    """Wake who waits for the change; then the new state for htmx, or the page for a plain form."""
    line = request.app[LINE]
    line.live.ring()
    line.work.set()
    if "HX-Request" not in request.headers:
        path = request.app.router["conversation"].url_for(id=request.match_info["id"])
        raise web.HTTPSeeOther(path.with_query(View.of(request).query()))
    return await page(request, "inbox/live.html", is_answered=is_answered, **await context_of(request))


async def context_of(request: web.Request) -> dict[str, Any]:
    """What the templates of a conversation need."""
    line, number = request.app[LINE], int(request.match_info["id"])
    async with line.database.read() as session:
        found: Head | None = await head(session, number)
        if found is None:
            raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
        shown: Thread = await thread(
            session, number, before=number_of(request.query.get("before")), since=number_of(request.query.get("from"))
        )
        to = await _comment(session, request, found, "private", answer.takes_private)
        under = await _comment(session, request, found, "reply", answer.takes_public)
        waits = await why_waiting(session, line, [number]) if found.conversation.agent_id is None else {}
        state = await window_of(session, line.channels, found, line.now())
        promised = await promises_of(session, number, line.now())
    return {
        "head": found,
        "thread": shown,
        "view": View.of(request),
        "key": new_token(),
        "may_act": request[AGENT].role in ACTING,
        "to": to,
        "under": None if to else under,
        "window": state,
        "promises": promised,
        "waits": waits.get(number, ""),
        "deeds": lambda message: act.offered(found.connector, message),
        "takes_public": lambda message: answer.takes_public(found.connector, message),
        "takes_private": lambda message: _takes_private(found, shown, message, line.now()),
    }


async def _comment(
    session: AsyncSession,
    request: web.Request,
    head: Head,
    name: str,
    takes: Callable[[type[Connector], Message], bool],
) -> Message | None:
    """The comment of this conversation that is to be answered, where the address names one and the channel `takes` an
    answer to it."""
    number = number_of(request.query.get(name))
    message = await session.get(Message, number) if number else None
    is_one = message and message.conversation_id == head.conversation.id
    return message if message and is_one and takes(head.connector, message) else None


def _takes_private(head: Head, shown: Thread, message: Message, now: datetime) -> bool:
    """Whether a private answer to a message may still be written."""
    hours = head.connector.limits.private_reply_hours
    is_late = hours is not None and now > message.sent_at + timedelta(hours=hours)
    is_done = hours is not None and message.id in shown.private_answers
    return answer.takes_private(head.connector, message) and not is_late and not is_done


async def find(session: AsyncSession, request: web.Request) -> Conversation:
    """The conversation that the address names, locked."""
    query = (
        select(Conversation)
        .where(col(Conversation.id) == int(request.match_info["id"]))
        .with_for_update(key_share=True)
    )
    conversation = (await session.execute(query)).scalar_one_or_none()
    if conversation is None:
        raise web.HTTPNotFound(text=say(request, "There is no such conversation."))
    return conversation


async def _is_assignable(session: AsyncSession, agent_id: int) -> bool:
    if agent_id >= 2**63:
        return False
    agent = await session.get(Agent, agent_id)
    return agent is not None and agent.is_active and agent.role in ACTING


def said(request: web.Request, error: Exception) -> str:
    """An error of the engine in the language of the request."""
    return reason(str(error), translations(language(request)).gettext)


def number_of(text: str | None) -> int | None:
    """The number that a part of an address is; None where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
