"""Giving out work: N and 10 N conversations to people with room for all of them, and one look at a long queue when
nobody has room."""

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlmodel import col

from bench.place import kinds, opened
from socialcrm.database import insert_rows
from socialcrm.domain.routing import Routing
from socialcrm.domain.rows import Agent, Contact, Conversation, Team, TeamMember
from socialcrm.engine import routing as rules
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.route import route

NUMBER, AGENTS = 1000, 100


async def measure() -> list[dict[str, Any]]:
    """Conversations per second; the ratio should stay near 1."""
    rows = []
    for kind in await kinds():
        async with opened(kind) as line:
            small = await _given(line, NUMBER)
            large = await _given(line, 10 * NUMBER)
            full = await _when_full(line, 10 * NUMBER)
        rows.append(
            {
                "database": kind,
                "agents": AGENTS,
                f"prioritized/s of {NUMBER:,}": round(small["prioritize"]),
                f"prioritized/s of {10 * NUMBER:,}": round(large["prioritize"]),
                f"given/s of {NUMBER:,}": round(small["route"]),
                f"given/s of {10 * NUMBER:,}": round(large["route"]),
                "ratio": round(large["route"] / small["route"], 2),
                f"ms per look, {10 * NUMBER:,} wait and all are full": round(full * 1000, 1),
            }
        )
    return rows


async def _given(line: Line, number: int) -> dict[str, float]:
    """So many that wait, and room for all; conversations per second of each step."""
    await _crowd(line, number, limit=2 * number // AGENTS)
    speeds = {}
    for step in (prioritize, route):
        begin, total = time.perf_counter(), 0
        while taken := await step(line):
            total += taken
        speeds[step.__name__] = total / (time.perf_counter() - begin)
        assert total == number
    return speeds


async def _when_full(line: Line, number: int) -> float:
    """Seconds that a step takes to see that there is nothing to give."""
    await _crowd(line, number, limit=0)
    while await prioritize(line):
        continue
    begin = time.perf_counter()
    for _ in range(20):
        assert not await route(line)
    return (time.perf_counter() - begin) / 20


async def _crowd(line: Line, number: int, limit: int) -> None:
    now = utc_now()
    async with line.database.write() as session:
        await session.execute(update(Conversation).values(status="resolved"))
        await rules.save(session, line, Routing(chats=limit), None)
        teams = list((await session.execute(select(col(Team.id)).order_by(col(Team.id)))).scalars())
        known = (await session.execute(select(Agent).where(col(Agent.name) == "Busy 0"))).first()
        if known is None:
            people = [
                {"email": f"busy{n}", "name": f"Busy {n}", "presence": "online", "created_at": now}
                for n in range(AGENTS)
            ]
            await insert_rows(session, Agent, people)
            numbers = (await session.execute(select(col(Agent.id)).where(col(Agent.name).like("Busy%")))).scalars()
            members = [{"team_id": teams[i % len(teams)], "agent_id": n} for i, n in enumerate(numbers)]
            await insert_rows(session, TeamMember, members)
        await insert_rows(session, Contact, [{"name": "p", "created_at": now} for _ in range(number)])
        newest = select(col(Contact.id)).order_by(col(Contact.id).desc()).limit(number)
        rows = [
            {
                "channel_id": 1,
                "contact_id": contact,
                "team_id": teams[i % len(teams)],
                "thread_key": f"t{contact}",
                "kind": "direct_message",
                "opened_at": now,
                "last_message_at": now,
                "waiting_since_at": now - timedelta(seconds=i),
                "queued_at": now,
            }
            for i, contact in enumerate((await session.execute(newest)).scalars())
        ]
        await insert_rows(session, Conversation, rows)
