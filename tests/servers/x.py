"""An X on loopback with a sign-in: OAuth 2.0 with PKCE, tokens that end, refresh tokens that count once.

It follows https://docs.x.com/fundamentals/authentication/oauth-2-0; what it answers are the recordings after it.
"""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.servers.authorize import Dialog

RECORDINGS = Path(__file__).parents[1] / "connectors" / "recordings" / "x"
CLIENT, SECRET = "rG9n6402A3dbUJKzXTNX4oWHJ", "a-client-secret"


def recorded(name: str) -> Any:
    """An answer after X's documentation."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@dataclass
class XServer:
    """One app and one account. A refresh token that comes a second time signs the account out, as X does."""

    url: str = ""
    dialog: Dialog = field(default_factory=Dialog)
    me: dict[str, Any] = field(default_factory=lambda: dict(recorded("me")["data"]))
    granted: str | None = None
    """The permissions that are given; None: those that are asked for."""
    lifetime: float = 7200
    down: int = 0
    """While it is not 0, the status with which tokens are refused."""
    calls: list[str] = field(default_factory=list)
    renewals: int = 0
    gate: asyncio.Event | None = None
    """A renewal waits for it."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """A renewal has come."""
    access: dict[str, float] = field(default_factory=dict)
    """Access tokens that are good, and until when."""
    refresh: dict[str, str] = field(default_factory=dict)
    """Refresh tokens that are good, with their permissions."""
    bearer: str = "the-token-of-the-app"
    """What the app itself asks with how many posts were read."""
    _count: int = 0

    def open_gate(self) -> None:
        """Let the renewals go on."""
        if self.gate:
            self.gate.set()

    def give(self, scope: str) -> dict[str, Any]:
        """A new pair of tokens."""
        self._count += 1
        token = {**recorded("token"), "scope": scope, "expires_in": self.lifetime}
        token |= {key: f"{token[key]}-{self._count}" for key in ("access_token", "refresh_token")}
        self.access[token["access_token"]] = time.time() + self.lifetime
        self.refresh[token["refresh_token"]] = scope
        return token

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        self.calls.append(f"{request.method} {request.path}")
        if request.path == "/i/oauth2/authorize":
            return self.dialog.visit(request.query, CLIENT)
        if request.path == "/2/oauth2/token":
            return await self._token(request)
        if request.path == "/2/oauth2/revoke":
            return await self._revoke(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path == "/2/usage/tweets" and token == self.bearer:
            return web.json_response(recorded("usage"))
        if self.access.get(token, 0) < time.time():
            problem = {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}
            return web.json_response(problem, status=401)
        if request.path == "/2/users/me":
            return web.json_response({"data": self.me})
        if request.path == f"/2/users/{self.me['id']}/mentions":
            return web.json_response(recorded("mentions"))
        return web.json_response({"data": {"liked": True}, "meta": {"result_count": 0}})

    async def _revoke(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if request.headers.get("Authorization") != "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode():
            return web.json_response({"error": "unauthorized_client"}, status=401)
        if self.down:
            return web.Response(status=self.down)
        self.access.pop(form["token"], None)
        self.refresh.pop(form["token"], None)
        return web.json_response({"revoked": True})

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if self.down:
            return web.Response(status=self.down)
        if request.headers.get("Authorization") != "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode():
            problem = {"error": "unauthorized_client", "error_description": "Missing valid authorization header"}
            return web.json_response(problem, status=401)
        if form.get("grant_type") == "authorization_code":
            asked = self.dialog.redeem(form)
            if asked is None:
                words = "Value passed for the authorization code was invalid."
                return web.json_response({"error": "invalid_request", "error_description": words}, status=400)
            return web.json_response(self.give(asked["scope"] if self.granted is None else self.granted))
        self.renewals += 1
        self.reached.set()
        if self.gate:
            await self.gate.wait()
        scope = self.refresh.pop(form.get("refresh_token", ""), None)
        self.access.clear()
        if scope is None:
            self.refresh.clear()
            return web.json_response(recorded("token_refused"), status=400)
        return web.json_response(self.give(scope))


@asynccontextmanager
async def x_server() -> AsyncIterator[XServer]:
    """Start it."""
    here = XServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", here.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    here.url = str(server.make_url("/")).rstrip("/")
    try:
        yield here
    finally:
        await server.close()
