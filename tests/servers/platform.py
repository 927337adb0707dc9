"""A platform on loopback that says what a test tells it to say, and remembers how it was called."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

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


class Platform:
    """`answer` is what every call gets; `answers`, by the last part of the path, what some calls get instead."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.answers: dict[str, Answer] = {}
        self.calls: list[Call] = []
        self.url = ""
        self._end = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the call, then answer it."""
        body = await request.read()
        fields = {**request.query, **{key: str(value) for key, value in (await request.post()).items()}}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(request.method, request.path, headers, body, fields))
        answer = self.answers.get(request.path.rpartition("/")[2], self.answer)
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


@asynccontextmanager
async def platform(answer: Answer | None = None) -> AsyncIterator[Platform]:
    """A platform that answers every call with `answer` until told otherwise."""
    here = Platform(answer or Answer())
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", here.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    here.url = str(server.make_url("/")).rstrip("/")
    try:
        yield here
    finally:
        here.end()
        await server.close()


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    """An address where nobody listens."""
    async with platform() as here:
        address = here.url
    yield address
