"""The platforms' calls: kept in the ledger before they get their 200."""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from aiohttp import web
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from connectors.base import BadPayload, BadWebhook, Connector, ConnectorError, RawEvent, WebhookRequest
from socialcrm.domain.channel import Channel
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost
from socialcrm.web.keys import LINE

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

KEY = re.compile(r"[A-Za-z0-9_-]{1,200}")
KNOWN_SECONDS = 1.0
"""How long a channel row is trusted without looking: changed settings count after this, also in other processes."""


@dataclass
class Known:
    """Channels that were called lately, and the thanks that are on their way to platforms."""

    channels: dict[str, tuple[float, Channel]] = field(default_factory=dict)
    thanks: set[asyncio.Task[None]] = field(default_factory=set)


KNOWN = web.AppKey("known", Known)


def setup(app: web.Application) -> None:
    """Keep what the calls share on the application."""
    app[KNOWN] = Known()

    async def stop(app: web.Application) -> None:
        for task in app[KNOWN].thanks:
            task.cancel()

    app.on_shutdown.append(stop)


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
        await line.intake.keep(channel.id, events, line.now())
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


async def _reject(line: Line, channel_id: int) -> None:
    """Count a call that was not from the platform."""
    count = update(Channel).where(col(Channel.id) == channel_id)
    async with line.database.write() as session:
        await session.execute(count.values(rejected_count=col(Channel.rejected_count) + 1))


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
