"""The chat on a brand's own pages: what the widget asks, from any page that the channel allows."""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import Any

from aiohttp import web
from sqlalchemy import select, update
from sqlmodel import col

from connectors.base import BadWebhook, RawEvent
from connectors.payload import parse
from connectors.webchat import FILE_BYTES, FILES, LANGUAGES, TAKEN, BadField, Visitor
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.media import HEAD, most, sniff
from socialcrm.engine import files
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
            "files": {"most": FILES, "bytes": FILE_BYTES},
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
    body = {"messages": _linked(call.line, seen.messages), "cursor": seen.cursor, "has_more": seen.has_more}
    return answer(body, call.cors)


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
    visitor, _ = call.visitor()
    take(call.state.writing, f"{channel_id}:{visitor.id}")
    events = [await _with_files(call, visitor, event) for event in events]
    for event in events:
        call.connector.read(event)
    await line.intake.keep(channel_id, events, call.webhook.received_at)
    line.work.set()
    return answer({"id": events[0].external_id}, call.cors)


@routes.post("/widget/{key}/files", name="widget_files")
@answers
async def upload(call: Call) -> web.StreamResponse:
    """Keep a file that a visitor is about to send: the body is its content, `?name=` its name."""
    visitor, _ = call.visitor()
    take(call.state.uploading, f"{call.channel_id}:{visitor.id}")
    take(call.state.uploading_from, address(call))
    name, folder = call.request.query.get("name", ""), call.line.settings.storage.folder
    if not most(TAKEN, sniff(call.webhook.body[:HEAD], name)):
        raise Problem(415, "bad_file", "Files of this kind are not accepted.", field="file")
    try:
        kept = await asyncio.to_thread(files.keep_upload, folder, _owner(call, visitor), call.webhook.body, name)
    except files.CannotKeep:
        raise Problem(503, "busy", "The file cannot be kept now.", retry_after=RETRY_SECONDS) from None
    return answer({"file": f"{kept.sha256}:{kept.name}"}, call.cors)


@routes.post("/widget/{key}/typing")
@answers
async def typing(call: Call) -> web.StreamResponse:
    """Show agents that the visitor is writing, where there is a conversation already."""
    visitor, thread = call.visitor()
    take(call.state.typing, f"{call.channel_id}:{visitor.id}")
    query = select(col(Conversation.id)).where(
        col(Conversation.channel_id) == thread.channel_id, col(Conversation.thread_key) == thread.visitor
    )
    async with call.line.database.read() as session:
        number = await session.scalar(query.order_by(col(Conversation.id).desc()).limit(1))
    if number:
        await call.line.live.tell("contact_typing", number, call.webhook.received_at)
    return answer({}, call.cors)


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
    is_first, typed = True, visitors.typing[thread]
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
                shown = {"messages": _linked(line, news), "cursor": cursor}
                body = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
                await response.write(f"event: messages\ndata: {body}\n\n".encode())
            is_first = False
        if visitors.typing[thread] != typed:
            typed = visitors.typing[thread]
            await response.write(b"event: typing\ndata: {}\n\n")
        while not bell.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await bell.wait()
            except TimeoutError:
                await response.write(b": still here\n\n")


async def _with_files(call: Call, visitor: Visitor, event: RawEvent) -> RawEvent:
    """The event with what we know of the uploads that its body names."""
    body = parse(call.webhook.body)
    named = body.get("files") if isinstance(body, dict) else None
    if not named:
        return event
    if not isinstance(named, list) or len(named) > FILES:
        raise BadField("files", f"files should be a list of at most {FILES}.")
    folder, found = call.line.settings.storage.folder, []
    for each in named:
        sha256, _, name = str(each).partition(":")
        try:
            kept = await asyncio.to_thread(files.take_upload, folder, _owner(call, visitor), sha256, name)
        except (files.CannotKeep, ValueError):
            raise BadField("files", "A file is no longer there: attach it again.") from None
        found.append({"sha256": kept.sha256, "name": kept.name, "type": kept.content_type, "size": kept.size})
    return replace(event, payload={**event.payload, "files": found})


def _owner(call: Call, visitor: Visitor) -> str:
    return f"visitor-{call.channel_id}-{visitor.id}"


def _linked(line: Line, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose files have addresses that work for a day."""

    def linked(file: dict[str, Any]) -> dict[str, Any]:
        return {**file, "path": files.link(line, file["sha256"], file["name"])}

    return [{**each, "files": [linked(file) for file in each["files"]]} for each in messages]


async def _count_rejected(line: Line, channel_id: int) -> None:
    more = update(Channel).where(col(Channel.id) == channel_id).values(rejected_count=col(Channel.rejected_count) + 1)
    async with line.database.write() as session:
        await session.execute(more)
