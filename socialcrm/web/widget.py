"""The chat on a brand's own pages: what the widget asks, from any page that the channel allows."""

import asyncio
import json
import logging
from contextlib import suppress
from secrets import token_hex
from typing import Any

from aiohttp import web
from sqlalchemy import update
from sqlmodel import col

from connectors.base import BadWebhook
from connectors.webchat import LANGUAGES
from socialcrm.domain.channel import Channel
from socialcrm.engine.line import Line
from socialcrm.web.visitors import Thread, Visitors, newest, since
from socialcrm.web.widget_calls import (
    RETRY_SECONDS,
    STATE,
    Call,
    Problem,
    WidgetState,
    address,
    answer,
    answers,
    number,
    take,
)

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

HEARTBEAT_SECONDS = 15.0
STREAMS_PER_VISITOR = 10
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}


def setup(app: web.Application) -> None:
    """Keep the widget's state on the application; open streams end when the server does."""
    app[STATE] = WidgetState()

    async def end(app: web.Application) -> None:
        await app[STATE].visitors.close()

    app.on_shutdown.append(end)


@routes.options("/widget/{key}/{what}")
@answers
async def preflight(call: Call) -> web.StreamResponse:
    """Whether a page may call us, which browsers ask before they do."""
    return web.Response(status=204, headers=call.cors | PREFLIGHT)


@routes.get("/widget/{key}/config")
@answers
async def config(call: Call) -> web.StreamResponse:
    """How the chat looks and what it says first."""
    connector = call.connector
    return answer(
        {
            "title": connector.title,
            "accent": connector.accent,
            "greeting": {language: connector.greeting(language) for language in LANGUAGES},
            "text_length": connector.limits.text_length,
        },
        call.cors,
    )


@routes.post("/widget/{key}/visitor")
@answers
async def visitor(call: Call) -> web.StreamResponse:
    """A token for somebody who was never here."""
    take(call.state.arriving, address(call))
    try:
        token = call.connector.new_token(token_hex(16), call.webhook.received_at)
    except ValueError:
        log.warning("channel %s has no visitor_secret: connect it again", call.channel_id)
        raise Problem(503, "busy", "The chat is not connected.", retry_after=RETRY_SECONDS) from None
    return answer({"token": token}, call.cors)


@routes.get("/widget/{key}/messages")
@answers
async def messages(call: Call) -> web.StreamResponse:
    """The visitor's conversation: the newest messages, those `before` a number, or those `after` a cursor."""
    _, thread = call.visitor()
    before, after = number(call.request, "before"), number(call.request, "after")
    async with call.line.database.read() as session:
        seen = await (newest(session, thread, before) if after is None else since(session, thread, after))
    return answer({"messages": seen.messages, "cursor": seen.cursor, "has_more": seen.has_more}, call.cors)


@routes.post("/widget/{key}/messages")
@answers
async def write(call: Call) -> web.StreamResponse:
    """Keep what a visitor wrote; saying it twice with the same id is harmless."""
    line, channel_id = call.line, call.channel_id
    try:
        events = call.connector.read_webhook(call.webhook)
    except BadWebhook:
        await _count_rejected(line, channel_id)
        raise
    take(call.state.writing, f"{channel_id}:{call.visitor()[0].id}")
    for event in events:
        call.connector.read(event)
    await line.intake.keep(channel_id, events, call.webhook.received_at)
    line.work.set()
    return answer({"id": events[0].external_id}, call.cors)


@routes.get("/widget/{key}/events", allow_head=False)
@answers
async def events(call: Call) -> web.StreamResponse:
    """The visitor's messages as they become visible, everything after the cursor first (server-sent events)."""
    _, thread = call.visitor()
    cursor = number(call.request, "after") or 0
    visitors = call.state.visitors
    if visitors.count(thread) >= STREAMS_PER_VISITOR:
        raise Problem(429, "too_many", "The chat is open in too many windows.", retry_after=RETRY_SECONDS)
    async with visitors.waiting(call.line, thread) as bell:
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=call.cors | headers)
        await response.prepare(call.request)
        with suppress(ConnectionError):  # the visitor left; there is nobody to tell
            await _stream(call.line, thread, cursor, response, visitors, bell)
    return response


async def _stream(
    line: Line, thread: Thread, cursor: int, response: web.StreamResponse, visitors: Visitors, bell: asyncio.Event
) -> None:
    told: dict[int, Any] = {}
    is_first = True
    while visitors.is_following:
        bell.clear()
        has_more = True
        while has_more:
            async with line.database.read() as session:
                seen = await since(session, thread, cursor)
            news = [each for each in seen.messages if told.get(each["id"], "") != each["edited_at"]]
            told = {each["id"]: each["edited_at"] for each in seen.messages}
            cursor, has_more = seen.cursor, seen.has_more
            if news or is_first:
                body = json.dumps({"messages": news, "cursor": cursor}, ensure_ascii=False, separators=(",", ":"))
                await response.write(f"event: messages\ndata: {body}\n\n".encode())
            is_first = False
        while not bell.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await bell.wait()
            except TimeoutError:
                await response.write(b": still here\n\n")


async def _count_rejected(line: Line, channel_id: int) -> None:
    more = update(Channel).where(col(Channel.id) == channel_id).values(rejected_count=col(Channel.rejected_count) + 1)
    async with line.database.write() as session:
        await session.execute(more)
