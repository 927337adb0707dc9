"""The platforms' calls: kept in the ledger before they get their 200."""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from aiohttp import web
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connectors.base import BadPayload, BadWebhook, Connector, ConnectorError, Ignored, RawEvent, WebhookRequest
from socialcrm.domain.channel import Channel
from socialcrm.engine.files import CannotKeep, keep
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost
from socialcrm.web.keys import LINE

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")
KNOWN_SECONDS = 1.0
"""How long a channel row is trusted without looking: changed settings count after this, also in other processes."""
COMPLETE_SECONDS = 5.0
"""How long a platform is asked for what its call leaves out before the event is kept as it came."""


@dataclass
class Known:
    """Channels that were called lately, and the thanks that are on their way to platforms."""

    channels: dict[str, tuple[float, Channel]] = field(default_factory=dict)
    thanks: set[asyncio.Task[None]] = field(default_factory=set)
    all: tuple[float, Sequence[Channel]] = (float("-inf"), ())
    """Every channel, for calls that may be about several."""


KNOWN = web.AppKey("known", Known)


def setup(app: web.Application) -> None:
    """Keep what the calls share on the application."""
    app[KNOWN] = Known()

    async def stop(app: web.Application) -> None:
        for task in app[KNOWN].thanks:
            task.cancel()

    app.on_shutdown.append(stop)


@routes.get("/hooks/{key}", name="hook_challenge")
async def answer_challenge(request: web.Request) -> web.StreamResponse:
    """Answer a platform that asks, before it calls, whether the address is ours. Nothing is kept."""
    line = request.app[LINE]
    try:
        channel = await _channel(line, request.app[KNOWN], request.match_info["key"])
        if channel is None or channel.id is None:
            return _answer(404, "There is no channel at this address.")
        connector = line.channels.open(channel)
        if connector.takes_hooks and "GET" in connector.hook_methods:
            return await receive(request)
        if not (connector.takes_hooks and connector.can("challenge")):
            return _answer(405, "This address takes POST only.", {"Allow": "POST"})
        try:
            return web.Response(text=connector.challenge(_call(request, b"", line)))
        except BadWebhook as error:
            await _reject(line, channel.id)
            return _answer(403, error.reason)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.error("a webhook's challenge could not be answered: %s", type(error).__name__)  # noqa: TRY400
        return _answer(503, "Ask again.", {"Retry-After": "5"})
    except (KeyLost, KeyError) as error:
        log.error("the channel of a webhook call cannot be opened: %s", type(error).__name__)  # noqa: TRY400
        return _answer(503, "The channel has to be connected again.", {"Retry-After": "60"})


@routes.post("/hooks/{key}", name="hook")
async def receive(request: web.Request) -> web.Response:
    """Verify, keep, then say so. A paused channel keeps its events too: pausing loses nothing."""
    line, known = request.app[LINE], request.app[KNOWN]
    try:
        channel = await _channel(line, known, request.match_info["key"])
        if channel is None or channel.id is None:
            return _answer(404, "There is no channel at this address.")
        connector = line.channels.open(channel)
        if not connector.takes_hooks:
            return _answer(404, "This channel is not called at this address.")
        try:
            body = await _body(request, connector.limits.body_bytes)
        except web.RequestPayloadError:
            return _answer(400, "The body is not packed as its Content-Encoding says.")
        if body is None:
            return _answer(413, f"At most {connector.limits.body_bytes} bytes are accepted.")
        try:
            events = connector.read_webhook(_call(request, body, line))
        except BadWebhook as error:
            await _reject(line, channel.id)
            return _answer(403, error.reason)
        except BadPayload as error:
            return _answer(400, error.reason)
        if connector.can("complete"):
            events = await _completed(connector, events)
        await _keep_files(line, events)
        await line.intake.keep(channel.id, events, line.now())
        if connector.hook_family:
            await _offer(line, known, channel.id, connector, _call(request, body, line))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        # Without the traceback: a database's error quotes the row, and logs hold no texts.
        log.error("a webhook call could not be kept: %s", type(error).__name__)  # noqa: TRY400
        return _answer(503, "The call could not be kept: send it again.", {"Retry-After": "5"})
    except (KeyLost, KeyError) as error:
        log.error("the channel of a webhook call cannot be opened: %s", type(error).__name__)  # noqa: TRY400
        return _answer(503, "The channel has to be connected again.", {"Retry-After": "60"})
    line.work.set()
    if connector.can("acknowledge"):
        task = asyncio.create_task(_thank(connector, events))
        known.thanks.add(task)
        task.add_done_callback(known.thanks.discard)
    return _answer(200, "")


async def _channel(line: Line, known: Known, key: str) -> Channel | None:
    found = known.channels.get(key)
    if found and monotonic() - found[0] < KNOWN_SECONDS:
        return found[1]
    known.channels.pop(key, None)
    if not KEY.fullmatch(key):
        return None
    channel = await line.channels.by_key(key)
    if channel is not None:
        known.channels[key] = monotonic(), channel
    return channel


async def _body(request: web.Request, limit: int) -> bytes | None:
    """The body as it came; None when it is larger than the limit, of which no more is read."""
    if request.content_length is not None and request.content_length > limit:
        return None
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _call(request: web.Request, body: bytes, line: Line) -> WebhookRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return WebhookRequest(request.method, headers, dict(request.query), body, line.now())


async def _keep_files(line: Line, events: Sequence[RawEvent]) -> None:
    """Store the files that came inside a call, before it is kept. Raises OSError where that cannot be done."""
    for content in (content for event in events for content in event.files.values()):
        try:
            await asyncio.to_thread(keep, line.settings.storage.folder, content)
        except CannotKeep as error:
            raise OSError(str(error)) from error


async def _reject(line: Line, channel_id: int) -> None:
    """Count a call that was not from the platform."""
    count = update(Channel).where(col(Channel.id) == channel_id)
    async with line.database.write() as session:
        await session.execute(count.values(rejected_count=col(Channel.rejected_count) + 1))


async def _offer(line: Line, known: Known, called_id: int, called: Connector, call: WebhookRequest) -> None:
    """Let the other channels of a family keep what is theirs of a call; each verifies it with its own secret."""
    if monotonic() - known.all[0] >= KNOWN_SECONDS:
        async with line.database.read() as session:
            known.all = monotonic(), (await session.execute(select(Channel))).scalars().all()
    for channel in known.all[1]:
        try:
            connector = line.channels.open(channel)
            if channel.id in (None, called_id) or connector.hook_family != called.hook_family:
                continue
            found = connector.read_webhook(call)
        except (KeyLost, KeyError, BadWebhook):
            continue
        events = [event for event in found if _is_for(connector, called, event)]
        if events and connector.can("complete"):
            events = await _completed(connector, events)
        if events:
            await line.intake.keep(channel.id or 0, events, line.now())


def _is_for(connector: Connector, called: Connector, event: RawEvent) -> bool:
    """Whether an event is for this channel: it does not ignore it, and where it cannot read it, the called one does."""
    try:
        connector.read(event)
    except Ignored:
        return False
    except BadPayload:
        try:
            called.read(event)
        except Ignored:
            return True
        except BadPayload:
            return False
        return False
    return True


async def _completed(connector: Connector, events: Sequence[RawEvent]) -> list[RawEvent]:
    """The events with what the call left out; those that take too long or fail stay as they came."""
    tasks = [asyncio.create_task(connector.complete(event)) for event in events]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=COMPLETE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    return [_result(task) or event for task, event in zip(tasks, events, strict=True)]


def _result(task: asyncio.Task[RawEvent]) -> RawEvent | None:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None:
        return task.result()
    log.info("an event could not be completed: %s", type(error).__name__)
    return None


async def _thank(connector: Connector, events: Sequence[RawEvent]) -> None:
    """Tell the platform that its events are kept, where somebody waits for that; nothing depends on it."""
    for event in events:
        try:
            await connector.acknowledge(event)
        except ConnectorError as error:
            log.info("an event could not be acknowledged: %s", type(error).__name__)
        except Exception:
            log.exception("an event could not be acknowledged")


def _answer(status: int, error: str, headers: dict[str, str] | None = None) -> web.Response:
    if not error:
        return web.Response(status=status, headers=headers)
    return web.json_response({"error": error}, status=status, headers=headers)
