"""A platform on loopback that says what a test tells it to say, and remembers how it was called."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True)
class Answer:
    """What the platform says: `body` is bytes, or anything else as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


LOST = Answer(0)
"""The request is read whole, then the connection ends without an answer."""
SILENCE = Answer(-1)
"""The request is read whole, and no answer comes while the test runs."""


@dataclass(frozen=True)
class Call:
    """One request that the platform got; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    fields: Mapping[str, str]
    """The query and the form, where the body is one."""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Answers = Answer | Callable[[Call], Answer]
"""One answer for every call, or what a call is answered with."""


class Platform:
    """`answer` is what every call gets; `answers`, by the last part of the path, what some calls get instead."""

    def __init__(self, answer: Answers) -> None:
        self.answer = answer
        self.answers: dict[str, Answers] = {}
        self.calls: list[Call] = []
        self.url = ""
        self._end = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the call, then answer it."""
        body = await request.read()
        fields = {**request.query, **_form(request.content_type, request.headers.get("Content-Type", ""), body)}
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, headers, body, fields)
        self.calls.append(call)
        found = self.answers.get(request.path.rpartition("/")[2], self.answer)
        answer = found if isinstance(found, Answer) else found(call)
        if answer is SILENCE:
            await self._end.wait()
        if answer is LOST or answer is SILENCE:
            if request.transport:
                request.transport.abort()
            return web.Response()
        if isinstance(answer.body, bytes):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    def end(self) -> None:
        """Let go of the calls that wait in silence."""
        self._end.set()

    def app(self) -> web.Application:
        """As an application, for `serving`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app


def _form(kind: str, header: str, body: bytes) -> dict[str, str]:
    """The fields of a form; of a file its name."""
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    if kind != "multipart/form-data":
        return {}
    parts = message_from_bytes(f"Content-Type: {header}\r\n\r\n".encode() + body).get_payload()
    found = {}
    for part in parts if isinstance(parts, list) else ():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        text = content.decode(errors="replace") if isinstance(content, bytes) else ""
        found[str(part.get_param("name", header="Content-Disposition"))] = part.get_filename() or text
    return found


@asynccontextmanager
async def platform(answer: Answers | None = None) -> AsyncIterator[Platform]:
    """A platform that answers every call with `answer` until told otherwise."""
    here = Platform(answer or Answer())
    async with serving(here.app()) as here.url:
        try:
            yield here
        finally:
            here.end()


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The address of an application on loopback."""
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def deaf_port() -> AsyncIterator[str]:
    """An address where a connection is never answered: the one place in its queue is taken."""
    with socket.socket() as server, socket.socket() as first:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    """An address where nobody listens."""
    async with platform() as here:
        address = here.url
    yield address
