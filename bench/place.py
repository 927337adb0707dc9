"""A fresh installation to measure, on SQLite or on PostgreSQL."""

import itertools
import json
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from config.settings import HERE, load_settings
from connectors.base import RawEvent
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import Agent, Channel, Team, TeamMember
from socialcrm.engine.line import Line, utc_now
from socialcrm.migrate import migrate

POSTGRES = os.environ.get("SOCIALCRM_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
PIPELINE = Pipeline.load()


async def kinds() -> list[str]:
    """The databases that are here to be measured."""
    try:
        await (await asyncpg.connect(POSTGRES, timeout=3)).close()
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return ["sqlite"]
    return ["sqlite", "postgresql"]


@asynccontextmanager
async def opened(kind: str, **sections: Any) -> AsyncIterator[Line]:
    """A migrated line with one echo channel, four teams and an agent in each."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"socialcrm_bench_{uuid.uuid4().hex[:8]}"
        url = f"sqlite:///{folder}/bench.db"
        if kind == "postgresql":
            admin = await asyncpg.connect(POSTGRES)
            await admin.execute(f"CREATE DATABASE {name}")
            url = f"{POSTGRES.rpartition('/')[0]}/{name}"
        settings = load_settings(Path("/dev/null"), storage={"folder": folder, "database": url}, **sections)
        async with open_line(settings, pipeline=PIPELINE) as line:
            await migrate(line.database)
            await _people(line)
            yield line
        if kind == "postgresql":
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.close()


async def _people(line: Line) -> None:
    now = utc_now()
    async with line.database.write() as session:
        session.add(Channel(connector="echo", key="echo", name="Echo", created_at=now, changed_at=now))
        for key in ("support", "facturation", "technique", "commercial"):
            team, agent = Team(key=key, name=key), Agent(email=key, name=key, presence="online", created_at=now)
            session.add_all([team, agent])
            await session.flush()
            session.add(TeamMember(team_id=team.id or 0, agent_id=agent.id or 0))


def texts() -> Iterator[str]:
    """The demo's messages in four languages, for ever."""
    rows = (HERE / "demo" / "stream.jsonl").read_text(encoding="utf-8").splitlines()
    return itertools.cycle(json.loads(row)["text"] for row in rows)


def events(number: int, authors: int, start: int = 0) -> list[RawEvent]:
    """So many echo events by so many authors."""
    at = utc_now().isoformat()
    found = zip(range(start, start + number), texts(), strict=False)
    return [
        RawEvent({"id": f"e{n}", "author": f"a{n % authors}", "text": f"{text} {n}", "sent_at": at})
        for n, text in found
    ]
