"""The server of an end-to-end test, and what is behind it."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Page
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.ledger import Fate
from socialcrm.domain.message import Step
from socialcrm.domain.outbox import OutboxStatus
from socialcrm.domain.rows import Agent, Conversation, Message, OutboxItem, RawEventRow
from socialcrm.engine.answer import reply
from socialcrm.engine.line import Line
from socialcrm.web.server import build_app
from tests.requirements import require

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
AXE = Path(__file__).parents[2] / "socialcrm/web/frontend/node_modules/axe-core/axe.min.js"
PASSWORD = "a long password of a test"
PATIENCE = 60


async def faults(page: Page) -> list[tuple[str, list[str]]]:
    """The serious faults of accessibility that axe finds on a page: the rule and where it is broken."""
    if not AXE.exists():
        require("axe-core (npm ci in socialcrm/web/frontend)")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    return [
        (each["id"], [node["html"][:150] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


async def too_wide(page: Page) -> list[str]:
    """What makes a page wider than the screen."""
    return await page.evaluate(  # type: ignore[no-any-return]
        """async () => {
            await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            const out = [...document.body.querySelectorAll('*')].filter(each => {
                const box = each.getBoundingClientRect();
                return box.width && (box.right > innerWidth + 1 || box.left < -1);
            });
            const seen = out.slice(0, 8).map(each => each.outerHTML.slice(0, 120));
            return [`${root.scrollWidth} > ${root.clientWidth}`, ...seen];
        }"""
    )


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

    async def at_rest(self) -> None:
        """Wait until the line has done all it does by itself with what came in: then a page changes no more."""
        async with asyncio.timeout(PATIENCE):
            while await self._is_at_work():
                await asyncio.sleep(0.05)

    async def _is_at_work(self) -> bool:
        return (
            any(event.fate == Fate.WAITING for event in await self.rows(RawEventRow))
            or any(message.step != Step.DONE for message in await self.rows(Message))
            or any(item.status in (OutboxStatus.WAITING, OutboxStatus.SENDING) for item in await self.rows(OutboxItem))
        )

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
