"""Somebody at a browser: the real application behind a real server, signed in with a role."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from socialcrm.domain.rows import Agent, Channel, WebSession
from socialcrm.engine.line import Line
from socialcrm.secrets import new_token, token_hash
from socialcrm.web.guard import COOKIE
from socialcrm.web.server import build_app

CSRF = "the-token-of-this-session"


class Desk:
    """A browser without scripts. `line` is what the server works on."""

    def __init__(self, line: Line, client: TestClient[Any, Any]) -> None:
        self.line, self.client = line, client
        self.cookie = ""

    async def sign_in(self, role: str = "admin", locale: str = "en") -> Agent:
        """Become a new agent with this role."""
        now, token = self.line.now(), new_token()
        agent = Agent(
            email=f"{new_token()}@shop.example".lower(), name="Nadia", role=role, locale=locale, created_at=now
        )
        async with self.line.database.write() as session:
            session.add(agent)
            await session.flush()
            session.add(
                WebSession(
                    token_hash=token_hash(token),
                    csrf_token=CSRF,
                    agent_id=agent.id or 0,
                    created_at=now,
                    seen_at=now,
                    expires_at=now + timedelta(hours=1),
                )
            )
        self.cookie = f"{COOKIE}={token}"
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
