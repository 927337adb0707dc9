"""The server as it is served, and a real browser to look at it.

The browser starts once in each test process and every test has a context of its own in it: its own cookies, storage and
size. So these tests and their fixtures run on one event loop.
"""

import inspect
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from config.settings import Settings, load_settings
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import Agent, Channel, Team, TeamMember
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable
from socialcrm.web.page import STATIC
from socialcrm.web.passwords import hash_password
from tests.e2e.site import CHROMIUM, FLAGS, PASSWORD, Site
from tests.requirements import require

HERE = Path(__file__).parent
expect.set_options(timeout=15_000)  # a machine may be busy; what comes at once is seen at once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "socialcrm.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        storage={"folder": str(tmp_path / "data"), "database": database_url},
        line={"idle_seconds": 0.2},
        bot={"settle_seconds": 0},
        survey={"delay_seconds": 0},
        demo={"is_on": True},
    )


@pytest_asyncio.fixture(loop_scope="session")
async def line(settings: Settings, pipeline: Pipeline) -> AsyncIterator[Line]:
    async with open_line(settings, pipeline=pipeline) as line:
        yield line


@pytest_asyncio.fixture(loop_scope="session")
async def site(line: Line) -> AsyncIterator[Site]:
    if not (STATIC / "widget.js").exists():
        require("the built assets (python hatch_build.py)")
    now = line.now()
    channel = Channel(
        connector="webchat",
        key="demo-chat",
        name="Chat du site",
        settings={"title": "Wasla Télécom"},
        credentials=line.vault.encrypt({"visitor_secret": "a secret of the test"}),
        created_at=now,
        changed_at=now,
    )
    async with line.database.write() as session:
        amina = Agent(email="amina@wasla.example", name="Amina Ferhat", role="admin", locale="fr", created_at=now)
        amina.password_hash = hash_password(PASSWORD)
        team = Team(key="technique", name="Technique")
        session.add_all([channel, amina, team])
        await session.flush()
        session.add(TeamMember(team_id=team.id or 0, agent_id=amina.id or 0))
    site, timetable = Site(line), Timetable(line)
    await timetable.start()
    await site.start()
    yield site
    await site.stop()
    await timetable.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if not Path(CHROMIUM).exists():
        require(f"Chromium at {CHROMIUM}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser; what a test opened in it ends with the test."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@pytest.fixture
def look() -> dict[str, Any]:
    """What a test says of its browser: size, colours."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, look: dict[str, Any]) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(reduced_motion="reduce", **look)
    context.set_default_timeout(10_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, site: Site) -> Page:
    page = await context.new_page()
    await page.goto(f"{site.url}/demo/")
    return page
