"""The server of an end-to-end test, and what is behind it."""

import uuid
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Agent, Conversation, Message
from socialcrm.engine.answer import reply
from socialcrm.engine.line import Line
from socialcrm.web.server import build_app

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
AXE = Path(__file__).parents[2] / "socialcrm/web/frontend/node_modules/axe-core/axe.min.js"
PASSWORD = "a long password of a test"


class Site:
    """The server, which can be taken down and started again at the same address, and the line behind it."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._runner = web.AppRunner(build_app(self.line), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def rows(self, table: type[Any]) -> list[Any]:
        async with self.line.database.read() as session:
            return list((await session.execute(select(table).order_by(col(table.id)))).scalars())

    async def agent(self) -> Agent:
        return next(iter(await self.rows(Agent)))  # type: ignore[no-any-return]

    async def conversation(self) -> Conversation:
        return (await self.rows(Conversation))[-1]  # type: ignore[no-any-return]

    async def answer(self, text: str) -> None:
        agent = await self.agent()
        async with self.line.database.write() as session:
            conversation = await session.get_one(Conversation, (await self.conversation()).id)
            await reply(session, self.line, conversation, text, agent, uuid.uuid4().hex)
        self.line.work.set()
        self.line.live.ring()

    async def incoming(self) -> list[str]:
        return [m.text for m in await self.rows(Message) if m.direction == "in"]
