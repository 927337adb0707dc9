"""Live updates: a stream of changes that a page follows from the cursor it was rendered with."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from aiohttp import web
from sqlmodel import col, func, select

from socialcrm.domain.conversation import Change
from socialcrm.engine.line import Line
from socialcrm.web.guard import find_session, mark_seen
from socialcrm.web.keys import LINE, SESSION

routes = web.RouteTableDef()


STOPPING = web.AppKey("stopping", asyncio.Event)
"""Streams end by themselves when it is set; cancelled in the middle of a query they would leave its connection open."""
ALIVE_SECONDS = 15
RETRY_MS = 1000


@routes.get("/live", name="live")
async def live(request: web.Request) -> web.StreamResponse:
    """Server-sent events after `cursor`, or after Last-Event-ID for a client that was away.

    `changes` carries [{"conversation", "kind"}, …] and its id is the new cursor. `reset` says that the log no longer
    reaches back that far (or never did): load the lists again and go on from its id. A comment every 15 seconds keeps
    proxies from closing the line.
    """
    line = request.app[LINE]
    cursor = _number(request.headers.get("Last-Event-ID") or request.query.get("cursor"))
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    try:
        await response.prepare(request)
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        await _stream(request, response, line, cursor)
    except ConnectionError:
        pass  # the page was closed
    return response


async def stop(app: web.Application) -> None:
    """End all streams, so that the server can stop; the pages come back by themselves."""
    app[STOPPING].set()
    app[LINE].live.ring()


async def _stream(request: web.Request, response: web.StreamResponse, line: Line, cursor: int) -> None:
    first, last = await _kept(line)
    if cursor > last or cursor < first - 1:
        cursor = last
        await response.write(_event("reset", cursor, "[]"))
    spoken = line.now()
    while not request.app[STOPPING].is_set() and line.now() < request[SESSION].expires_at:
        bell = line.live.bell
        if batch := await line.live.changes(cursor):
            cursor = batch[-1].id or cursor
            await response.write(_event("changes", cursor, _data(batch)))
            spoken = line.now()
        elif line.now() - spoken >= timedelta(seconds=ALIVE_SECONDS):
            found = await find_session(request)
            if found is None:
                return  # signed out: the page is sent to the sign-in page when it comes back
            await mark_seen(request, found[0])
            await response.write(b": alive\n\n")
            spoken = line.now()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(line.settings.line.idle_seconds):
                    await bell.wait()


async def _kept(line: Line) -> tuple[int, int]:
    """The oldest and the newest number in the log; (1, 0) when it is empty."""
    async with line.database.read() as session:
        row = (await session.execute(select(func.min(col(Change.id)), func.max(col(Change.id))))).one()
    first, last = row
    return (first or 1, last) if last else (1, 0)


def _data(batch: Sequence[Change]) -> str:
    seen = dict.fromkeys((change.conversation_id, change.kind) for change in batch)
    return json.dumps([{"conversation": number, "kind": kind} for number, kind in seen], separators=(",", ":"))


def _event(name: str, cursor: int, data: str) -> bytes:
    return f"id: {cursor}\nevent: {name}\ndata: {data}\n\n".encode()


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
