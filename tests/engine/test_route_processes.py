"""Several processes give out work from one PostgreSQL database: each conversation once, and nobody too much."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.routing import Routing
from socialcrm.domain.rows import Agent, Contact, Conversation, ConversationEvent, Team, TeamMember
from socialcrm.engine import routing as rules
from socialcrm.engine.line import Line
from tests.engine.test_processes import until
from tests.story import Story

ROOT = Path(__file__).parents[2]


async def crowd(line: Line, conversations: int, agents: int, limit: int) -> None:
    """So many conversations that wait for somebody, and so many agents who are not here yet, in four teams."""
    story, now = await Story.begin(line), line.now()
    async with line.database.write() as session:
        await rules.save(session, line, Routing(chats=limit), None)
        teams = list((await session.execute(select(col(Team.id)).order_by(col(Team.id)))).scalars())
        people = [{"email": f"a{n}@example.com", "name": f"Agent {n}", "created_at": now} for n in range(agents)]
        await insert_rows(session, Agent, people)
        numbers = (await session.execute(select(col(Agent.id)).order_by(col(Agent.id)))).scalars()
        await insert_rows(
            session, TeamMember, [{"team_id": teams[i % 4], "agent_id": n} for i, n in enumerate(numbers)]
        )
        await insert_rows(session, Contact, [{"name": f"p{n}", "created_at": now} for n in range(conversations)])
        contacts = (await session.execute(select(col(Contact.id)).order_by(col(Contact.id)))).scalars()
        rows = [
            {
                "channel_id": story.channel.id,
                "contact_id": number,
                "team_id": teams[i % 4],
                "thread_key": f"t{i}",
                "kind": "direct_message",
                "opened_at": now,
                "last_message_at": now,
                "waiting_since_at": now - timedelta(seconds=i),
                "queued_at": now,
            }
            for i, number in enumerate(contacts)
        ]
        await insert_rows(session, Conversation, rows)


async def given(line: Line) -> int:
    async with line.database.read() as session:
        query = select(func.count()).select_from(Conversation).where(col(Conversation.agent_id).is_not(None))
        return await session.scalar(query) or 0


async def run(line: Line, processes: int, conversations: int, agents: int, limit: int) -> float:
    """Let the processes give out what there is room for, free half of the room, and let them go on; the seconds of the
    first round."""
    await crowd(line, conversations, agents, limit)
    room = agents * limit
    folder = line.settings.storage.folder
    command = [sys.executable, "-m", "tests.engine.router", line.settings.storage.database, str(folder)]
    logs = [folder / f"router-{n}.log" for n in range(processes)]
    running = []
    for log in logs:
        with log.open("w") as file:
            running.append(subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT))
    try:

        async def are_at_work() -> bool:
            return all("at work" in log.read_text(encoding="utf-8") for log in logs)

        await until(are_at_work)
        async with line.database.write() as session:
            await session.execute(update(Agent).values(presence="online"))
        began = time.perf_counter()

        async def is_full() -> bool:
            return await given(line) == min(room, conversations)

        await until(is_full)
        seconds = time.perf_counter() - began
        freed = room // 2
        async with line.database.write() as session:
            done = select(col(Conversation.id)).where(col(Conversation.agent_id).is_not(None)).limit(freed)
            await session.execute(update(Conversation).where(col(Conversation.id).in_(done)).values(status="resolved"))

        async def is_drained() -> bool:
            return await given(line) == min(room + freed, conversations)

        await until(is_drained)
        await asyncio.sleep(0.2)  # nobody gives out more than that
        assert await given(line) == min(room + freed, conversations)
    finally:
        (folder / "stop").touch()
        codes = [process.wait(timeout=30) for process in running]
    assert codes == [0] * processes
    assert not [log for log in logs if "Traceback" in log.read_text(encoding="utf-8")]
    return seconds


async def check(line: Line, agents: int, limit: int) -> None:
    async with line.database.read() as session:
        rows = (
            (await session.execute(select(Conversation).where(col(Conversation.agent_id).is_not(None)))).scalars().all()
        )
        events = (await session.execute(select(col(ConversationEvent.conversation_id)))).scalars().all()
        team_of = {
            a: t for a, t in (await session.execute(select(col(TeamMember.agent_id), col(TeamMember.team_id)))).all()
        }
    assert sorted(events) == sorted(c.id or 0 for c in rows), "each was given once"
    load = Counter(c.agent_id for c in rows if c.status == "open")
    assert max(load.values()) <= limit
    assert {team_of[c.agent_id or 0] == c.team_id for c in rows} == {True}


@pytest.mark.parametrize("fresh_database", ["postgresql"], indirect=True)
async def test_three_processes_give_two_hundred_conversations_once_each(line: Line) -> None:
    await run(line, 3, 200, 20, 8)
    await check(line, 20, 8)


@pytest.mark.slow
@pytest.mark.parametrize("fresh_database", ["postgresql"], indirect=True)
async def test_eight_processes_give_two_thousand_conversations_once_each(line: Line) -> None:
    seconds = await run(line, 8, 2000, 40, 40)
    await check(line, 40, 40)
    print(f"1,600 conversations given to 40 agents by 8 processes in {seconds:.1f} s")
