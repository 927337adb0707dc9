"""Somebody at a browser: the real application behind a real server, signed in with a role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from socialcrm.domain.rows import Agent, Channel
from socialcrm.engine.line import Line
from socialcrm.secrets import new_token
from socialcrm.web.guard import COOKIE
from socialcrm.web.server import build_app
from tests.sessions import CSRF, open_session


class Desk:
    """A browser without scripts. `line` is what the server works on."""

    def __init__(self, line: Line, client: TestClient[Any, Any]) -> None:
        self.line, self.client = line, client
        self.cookie = ""

    async def sign_in(self, role: str = "admin", locale: str = "en") -> Agent:
        """Become a new agent with this role."""
        now = self.line.now()
        email = f"{new_token()}@shop.example".lower()
        agent = Agent(email=email, name="Nadia", role=role, locale=locale, created_at=now)
        async with self.line.database.write() as session:
            session.add(agent)
        self.cookie = f"{COOKIE}={await open_session(self.line, agent)}"
        return agent

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and text of a page."""
        answer = await self.ask("GET", path, headers=headers)
        return answer.status, await answer.text()

    async def post(self, path: str, form: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Send a form with its token and follow where it leads."""
        answer = await self.ask("POST", path, data={"csrf_token": CSRF, **(form or {})}, allow_redirects=True)
        return answer.status, await answer.text()

    async def ask(self, method: str, path: str, **options: Any) -> ClientResponse:
        """One call; redirects are shown and not followed."""
        headers = {"Accept": "text/html", **options.pop("headers", {})}
        if self.cookie:
            headers["Cookie"] = self.cookie
        options.setdefault("allow_redirects", False)
        return await self.client.request(method, path, headers=headers, **options)

    async def channel(self, connector: str = "api", **values: Any) -> Channel:
        """A connected channel."""
        now = self.line.now()
        credentials = self.line.vault.encrypt(values.pop("credentials", {"secret": "s3cret-of-the-shop"}))
        row = Channel(
            **{
                "connector": connector,
                "key": new_token(),
                "name": "The shop",
                "created_at": now,
                "changed_at": now,
                "credentials": credentials,
                **values,
            }
        )
        async with self.line.database.write() as session:
            session.add(row)
        return row


@asynccontextmanager
async def desk(line: Line) -> AsyncIterator[Desk]:
    """A browser at a running server."""
    async with TestClient(TestServer(build_app(line))) as client:
        yield Desk(line, client)
