"""A browser without a screen: signs in, reads pages and sends their forms through the real application."""

import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from aiohttp import ClientResponse, ClientTimeout, CookieJar
from aiohttp.test_utils import TestClient, TestServer

from socialcrm.domain.rows import Agent, Channel, Contact, Conversation, Identity, Message
from socialcrm.engine.line import Line
from socialcrm.web.guard import COOKIE
from socialcrm.web.passwords import hash_password
from socialcrm.web.server import build_app
from tests.sessions import CSRF, open_session

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html"}
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Browser:
    """One signed-in, or not yet signed-in, visitor."""

    client: TestClient[Any, Any]
    csrf: str = ""
    """The token of its session, once known: each form carries it."""

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.client.get(path, headers={**HTML, **headers}, allow_redirects=False)

    async def text(self, path: str, **headers: str) -> str:
        answer = await self.get(path, **headers)
        assert answer.status == 200, f"{path} answered {answer.status}"
        return await answer.text()

    async def token(self, path: str = "/inbox") -> str:
        found = _TOKEN.search(await self.text(path))
        assert found
        return found[1]

    async def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> ClientResponse:
        """Send a form with the token that our pages carry."""
        self.csrf = self.csrf or await self.token()
        data = {"csrf_token": self.csrf, **(form or {})}
        return await self.client.post(path, data=data, headers={**HTML, **headers}, allow_redirects=False)

    async def sign_in(self, email: str, password: str = PASSWORD, target: str = "", token: str = "") -> ClientResponse:
        self.csrf = ""
        form = {
            "csrf_token": token or await self.token("/sign-in"),
            "email": email,
            "password": password,
            "next": target,
        }
        return await self.client.post("/sign-in", data=form, headers=HTML, allow_redirects=False)


@asynccontextmanager
async def site(line: Line) -> AsyncIterator["Site"]:
    """The application of a line, served."""
    server = TestServer(build_app(line))
    await server.start_server()
    opened = Site(line, server, [])
    try:
        yield opened
    finally:
        for client in opened.clients:
            await client.close()
        await server.close()


@dataclass
class Site:
    """A served application and what the tests put into its database."""

    line: Line
    server: TestServer
    clients: list[TestClient[Any, Any]]

    def browser(self) -> Browser:
        client = TestClient(self.server, cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(total=20))
        self.clients.append(client)
        return Browser(client)

    async def signed_in(self, agent: Agent) -> Browser:
        browser = self.browser()
        cookie = {COOKIE: await open_session(self.line, agent)}
        browser.client.session.cookie_jar.update_cookies(cookie, self.server.make_url("/"))
        browser.csrf = CSRF
        return browser

    async def agent(self, name: str = "Amina", role: str = "agent", locale: str = "en") -> Agent:
        async with self.line.database.write() as session:
            agent = Agent(
                email=f"{name.lower()}@example.com",
                name=name,
                role=role,
                locale=locale,
                password_hash=_hashed(),
                created_at=self.line.now(),
            )
            session.add(agent)
        return agent

    async def conversation(
        self,
        *texts: str,
        name: str = "Lyes",
        agent: Agent | None = None,
        status: str = "open",
        at: datetime | None = None,
        connector: str = "echo",
    ) -> Conversation:
        """A conversation on a channel of its own, with these incoming texts."""
        at = at or self.line.now()
        mark = uuid.uuid4().hex[:8]
        async with self.line.database.write() as session:
            channel = Channel(connector=connector, key=mark, name="Echo", created_at=at, changed_at=at)
            contact = Contact(name=name, created_at=at)
            session.add_all([channel, contact])
            await session.flush()
            session.add(Identity(contact_id=contact.id or 0, channel_id=channel.id or 0, external_id=mark))
            conversation = Conversation(
                channel_id=channel.id or 0,
                contact_id=contact.id or 0,
                thread_key=mark,
                kind="direct_message",
                status=status,
                agent_id=agent.id if agent else None,
                opened_at=at,
                last_message_at=at,
                waiting_since_at=at,
                message_count=len(texts),
                unread_count=len(texts),
                preview=texts[-1][:140] if texts else "",
            )
            session.add(conversation)
            await session.flush()
            for number, text in enumerate(texts):
                session.add(incoming(conversation, text, at + timedelta(seconds=number)))
                await session.flush()
        return conversation


def incoming(conversation: Conversation, text: str, at: datetime) -> Message:
    return Message(
        conversation_id=conversation.id or 0,
        channel_id=conversation.channel_id,
        contact_id=conversation.contact_id,
        external_id=uuid.uuid4().hex,
        direction="in",
        kind="direct_message",
        author_kind="contact",
        text=text,
        sent_at=at,
        received_at=at,
    )


@lru_cache
def _hashed() -> str:
    return hash_password(PASSWORD)
