"""Who looks after a conversation."""

import asyncio

from socialcrm.domain.rows import Conversation, ConversationEvent
from socialcrm.engine.analyze import analyze
from socialcrm.engine.assign import assign, take
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.route import route
from socialcrm.engine.triage import triage
from tests.engine.scripted import on_one_database
from tests.story import Story, line_with


async def test_of_many_who_take_one_conversation_exactly_one_has_it(line: Line) -> None:
    story = await Story.begin(line)
    agents = [await story.agent(name, presence="away") for name in ("Amina", "Yacine", "Lina", "Omar")]
    await story.customer_writes("hello")
    number = (await story.conversation()).id or 0

    async def try_it(index: int) -> bool:
        async with line.database.write() as session:
            return await take(session, line, number, agents[index])

    won = await asyncio.gather(*(try_it(index) for index in range(4)))
    assert sum(won) == 1
    conversation = await story.conversation()
    assert (conversation.agent_id, conversation.handler) == (agents[won.index(True)].id, "human")
    taken = [e for e in await story.rows(ConversationEvent) if e.kind == "assigned"]
    assert [(e.agent_id, e.data) for e in taken] == [(conversation.agent_id, {"agent_id": conversation.agent_id})]
    assert not await try_it(0)


@on_one_database
async def test_a_conversation_can_be_given_to_somebody_and_to_nobody(line: Line) -> None:
    story = await Story.begin(line)
    amina, boss = (
        await story.agent("Amina", presence="away"),
        await story.agent("Boss", role="supervisor", presence="away"),
    )
    await story.customer_writes("hello")
    for agent_id in (amina.id, None):
        async with line.database.write() as session:
            conversation = await session.get_one(Conversation, (await story.conversation()).id)
            await assign(session, line, conversation, agent_id, boss)
        assert (await story.conversation()).agent_id == agent_id
    events = [(e.agent_id, e.data["agent_id"]) for e in await story.rows(ConversationEvent) if e.kind == "assigned"]
    assert events == [(boss.id, amina.id), (boss.id, None)]


async def test_two_processes_do_not_fill_the_same_place(line: Line) -> None:
    """Both give out work at once; together they give nobody a fifth conversation."""
    story = await Story.begin(line)
    await story.agent("Amina")
    for number in range(8):
        await story.customer_writes("hello", author=f"a{number}", drains=False)
    await ingest(line)
    await analyze(line)
    lines = [line_with(line, None, line={"batch": size}) for size in (2, 4, 6, 8)]
    while any(await asyncio.gather(*(step(each) for each in lines for step in (triage, prioritize, route)))):
        pass
    while await prioritize(line) + await route(line):  # what one of them was looking at when the other gave out work
        pass
    assert sum(c.agent_id is not None for c in await story.rows(Conversation)) == 4
