"""Calls of the chat widget: whose page, which channel, how often, and every refusal as JSON that the page may read."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from connectors.base import BadWebhook, WebhookRequest
from connectors.webchat import FILE_BYTES, BadField, BadVisitor, Visitor, WebchatConnector, is_allowed_origin
from socialcrm.domain.channel import ChannelStatus
from socialcrm.engine.line import Line
from socialcrm.web.buckets import Buckets
from socialcrm.web.keys import LINE
from socialcrm.web.visitors import Thread, Visitors

log = logging.getLogger(__name__)

RETRY_SECONDS = 10

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class WidgetState:
    """What the widget's routes keep in memory: rates, and who waits for news."""

    asking: Buckets = field(default_factory=lambda: Buckets(burst=240, per_second=20))
    """Anything, per address. Many people may share one (mobile networks), so it is wide."""
    arriving: Buckets = field(default_factory=lambda: Buckets(burst=60, per_second=1))
    """New visitors, per address."""
    writing: Buckets = field(default_factory=lambda: Buckets(burst=10, per_second=0.5))
    """Messages, per visitor."""
    uploading: Buckets = field(default_factory=lambda: Buckets(burst=10, per_second=0.1))
    """Files, per visitor."""
    uploading_from: Buckets = field(default_factory=lambda: Buckets(burst=40, per_second=0.2))
    """Files, per address: a token is had for nothing."""
    typing: Buckets = field(default_factory=lambda: Buckets(burst=3, per_second=0.4))
    """Signs of typing, per visitor."""
    visitors: Visitors = field(default_factory=Visitors)


STATE = web.AppKey("widget", WidgetState)


class Problem(Exception):
    """An answer that is not a success, as the widget understands it."""

    def __init__(self, status: int, code: str, message: str, *, field: str = "", retry_after: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "field": field}}
        self.headers = {"Retry-After": str(int(retry_after) + 1)} if retry_after else {}


@dataclass(frozen=True)
class Call:
    """One call of a widget whose page is allowed."""

    request: web.Request
    line: Line
    state: WidgetState
    channel_id: int
    connector: WebchatConnector
    webhook: WebhookRequest
    cors: dict[str, str]

    def visitor(self) -> tuple[Visitor, Thread]:
        """Who calls. Raises BadVisitor."""
        visitor = self.connector.visitor(self.webhook.headers, self.webhook.received_at)
        return visitor, Thread(self.channel_id, visitor.id)


def answers(handle: Callable[[Call], Awaitable[web.StreamResponse]]) -> Handler:
    """Makes a route of `handle`: finds the channel, lets in allowed pages only, and says every refusal as JSON that the
    widget's page may read."""

    async def route(request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "no-store", "Vary": "Origin"}
        try:
            call = await _call(request, headers)
            return await handle(call)
        except Problem as problem:
            return answer(problem.body, problem.headers | headers, problem.status)
        except BadVisitor as error:
            return answer({"error": {"code": "bad_visitor", "message": error.reason, "field": ""}}, headers, 401)
        except BadWebhook as error:
            return answer({"error": {"code": "bad_origin", "message": error.reason, "field": ""}}, headers, 403)
        except BadField as error:
            body = {"error": {"code": "bad_field", "message": error.reason, "field": error.field}}
            return answer(body, headers, 400)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:
            log.exception("a call of the chat widget failed")
            busy = Problem(503, "busy", "The chat is busy. Try again in a moment.", retry_after=RETRY_SECONDS)
            return answer(busy.body, busy.headers | headers, busy.status)

    route.__name__, route.__doc__ = handle.__name__, handle.__doc__
    return route


async def _call(request: web.Request, headers: dict[str, str]) -> Call:
    """What a route works with; `headers` learns what lets the page read the answer. Raises Problem or BadWebhook."""
    line, state = request.app[LINE], request.app[STATE]
    key = request.match_info["key"]
    channel = await line.channels.by_key(key) if key.isprintable() else None  # PostgreSQL cannot even compare a NUL
    connector = line.channels.open(channel) if channel else None
    if channel is None or channel.id is None or not isinstance(connector, WebchatConnector):
        raise Problem(404, "no_chat", "There is no chat with this key.")
    origin = request.headers.get("Origin")
    host = _host(request, origin or "")
    if origin is not None:
        if not is_allowed_origin(origin, connector.origins, (host,)):
            raise BadWebhook("The chat is not allowed on this page: its address is not among the channel's pages.")
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After"}
    if channel.status == ChannelStatus.PAUSED:
        raise Problem(503, "paused", "The chat is closed for now.", retry_after=RETRY_SECONDS)
    is_file = request.method == "POST" and request.match_info.route.name == "widget_files"
    body = await _body(request, FILE_BYTES if is_file else connector.limits.body_bytes)
    names = {name.lower(): value for name, value in request.headers.items()} | {"host": host}
    webhook = WebhookRequest(request.method, names, dict(request.query), body, line.now())
    call = Call(request, line, state, channel.id, connector, webhook, headers)
    take(state.asking, address(call))
    return call


def _host(request: web.Request, origin: str) -> str:
    """The host that counts as ours: the address that a public setting names, or where the call came in."""
    public = urlsplit(request.app[LINE].settings.public_url).netloc
    return public if origin and urlsplit(origin).netloc == public else request.host


async def _body(request: web.Request, limit: int) -> bytes:
    """The whole body. Raises Problem before more than `limit` bytes are kept."""
    body = bytearray()
    if (request.content_length or 0) <= limit:
        async for part in request.content.iter_any():
            body += part
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise Problem(413, "too_large", f"More than {limit} bytes at once are not accepted.", field="body")


def number(request: web.Request, name: str) -> int | None:
    """A whole number of the query. Raises Problem."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Problem(400, "bad_field", f"{name} should be a number.", field=name)
    return int(text)


def address(call: Call) -> str:
    """Where a call came from; the last proxy's word where there is one that we trust."""
    told = call.webhook.headers.get("x-forwarded-for", "")
    if call.line.settings.web.is_behind_proxy and told:
        return told.rpartition(",")[2].strip()
    return call.request.remote or ""


def take(buckets: Buckets, key: str) -> None:
    """Count one call. Raises Problem with the time to wait."""
    seconds = buckets.take(key, time.monotonic())
    if seconds:
        raise Problem(429, "too_many", "That was a lot at once. Wait a moment.", retry_after=seconds)


def answer(body: Any, headers: dict[str, str], status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.json_response(body, status=status, headers=headers)
