"""Who looks after a conversation."""

import asyncio

from socialcrm.domain.rows import Conversation, ConversationEvent, TeamMember
from socialcrm.engine.assign import Roster, assign, take
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.story import Story


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


@on_one_database
async def test_somebody_in_two_teams_has_one_limit(line: Line) -> None:
    story = await Story.begin(line)
    amina = await story.agent("Amina", team="support")
    async with line.database.write() as session:
        session.add(TeamMember(team_id=3, agent_id=amina.id or 0))
    async with line.database.write() as session:
        roster = await Roster.load(session, line)
        given = [roster.next(line, team) for team in (1, 3, 1, 3, 1, 3)]
        assert [agent.name if agent else None for agent in given] == ["Amina"] * 4 + [None] * 2
        assert not roster.has_room


async def test_two_processes_do_not_fill_the_same_place(line: Line) -> None:
    """Both give out work at once; together they give nobody a fifth conversation."""
    story = await Story.begin(line)
    await story.agent("Amina")
    for number in range(8):
        await story.customer_writes("hello", author=f"a{number}", drains=False)
    from socialcrm.engine.analyze import analyze
    from socialcrm.engine.ingest import ingest
    from socialcrm.engine.triage import triage
    from tests.story import line_with

    await ingest(line)
    await analyze(line)
    lines = [line_with(line, None, line={"batch": size}) for size in (2, 4, 6, 8)]
    while any(await asyncio.gather(*(triage(each) for each in lines))):
        pass
    assert sum(c.agent_id is not None for c in await story.rows(Conversation)) == 4
