"""Conversations find the right agent by themselves, and come back when nobody looks after them."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlmodel import col

from socialcrm.domain.people import Agent, Team, WebSession
from socialcrm.domain.routing import Routing
from socialcrm.domain.rows import Contact, Conversation, ConversationEvent, TeamMember
from socialcrm.engine import routing as rules
from socialcrm.engine.assign import assign
from socialcrm.engine.leave import leave
from socialcrm.engine.line import Line
from socialcrm.engine.prioritize import prioritize, refresh
from socialcrm.engine.resolve import resolve
from socialcrm.engine.route import route
from socialcrm.engine.schedule import drain
from tests.engine.scripted import on_one_database
from tests.story import Clock, Story, line_with

HELLO = "hello, what time do you open tomorrow?"


async def begin(line: Line) -> tuple[Story, Clock]:
    clock = Clock()
    return await Story.begin(line_with(line, clock)), clock


async def change(story: Story, agent: Agent, **values: Any) -> None:
    async with story.line.database.write() as session:
        await session.execute(update(Agent).where(col(Agent.id) == agent.id).values(**values))


async def settle(story: Story, **values: Any) -> None:
    async with story.line.database.write() as session:
        await rules.save(session, story.line, Routing(**values), None)


async def given(story: Story) -> list[tuple[int | None, list[str]]]:
    """Who got the newest conversation, one after another, and why."""
    number = (await story.conversation()).id
    events = [e for e in await story.rows(ConversationEvent) if e.kind == "assigned" and e.conversation_id == number]
    return [(event.data["agent_id"], event.data.get("why", [])) for event in events]


async def test_work_goes_to_the_least_busy_and_waits_when_all_are_full_until_somebody_is_free(line: Line) -> None:
    story, clock = await begin(line)
    amina, yacine = await story.agent("Amina"), await story.agent("Yacine")
    for number in range(9):
        clock.forward(minutes=1)
        await story.customer_writes(HELLO, author=f"a{number}")
    rows = await story.rows(Conversation)
    assert Counter(c.agent_id for c in rows) == {amina.id: 4, yacine.id: 4, None: 1}
    assert [c.agent_id for c in rows[:4]] == [amina.id, yacine.id, amina.id, yacine.id]
    assert rows[8].queued_at == clock.at
    story.line.work.clear()
    async with story.line.database.write() as session:
        from socialcrm.engine.resolve import resolve

        await resolve(session, story.line, await session.get_one(Conversation, rows[1].id), yacine)
    await drain(story.line)
    assert await given(story) == [(yacine.id, ["only"])]
    event = [e for e in await story.rows(ConversationEvent) if e.kind == "assigned"][-1]
    assert event.data["load"] == [4, 4]


@on_one_database
async def test_the_most_urgent_of_those_who_wait_is_given_first(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina", presence="offline")
    await story.customer_writes(HELLO, author="calm")
    clock.forward(minutes=10)
    await story.customer_writes("This is a scandal, you are thieves, nobody ever answers me!", author="angry")
    calm, angry = await story.rows(Conversation)
    assert angry.score > calm.score
    assert angry.score_terms["complaint"] == 20
    await settle(story, chats=1)
    await change(story, amina, presence="online")
    await drain(story.line)
    calm, angry = await story.rows(Conversation)
    assert (calm.agent_id, angry.agent_id) == (None, amina.id)


@on_one_database
async def test_waiting_makes_more_urgent_and_only_those_who_wait_are_counted_again(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO, author="a")
    before = (await story.conversation()).score
    clock.forward(minutes=30)
    assert await prioritize(story.line) == 0
    assert await refresh(story.line) == 1
    conversation = await story.conversation()
    assert conversation.score == before + 5
    assert conversation.score_terms["waiting"] == 5
    assert await refresh(story.line) == 0
    await story.agent_answers(amina, "At eight.")
    clock.forward(minutes=30)
    assert await refresh(story.line) == 0


@on_one_database
async def test_loyal_customers_and_people_who_come_again_count_more(line: Line) -> None:
    story, _ = await begin(line)
    for thread in ("one", "two", "three"):
        await story.customer_writes(HELLO, author="lyes", thread=thread)
    async with story.line.database.write() as session:
        await session.execute(update(Contact).values(tier="gold"))
        await session.execute(update(Conversation).values(scored_at=None))
    await prioritize(story.line)
    terms = (await story.conversation()).score_terms
    assert (terms["repeat"], terms["tier"]) == (10, 30)


@on_one_database
async def test_the_agent_who_answered_a_customer_before_gets_them_again(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO, author="lyes", thread="first")
    await story.agent_resolves(amina)
    yacine = await story.agent("Yacine")
    clock.forward(days=2)
    await story.customer_writes(HELLO, author="lyes", thread="second")
    assert await given(story) == [(amina.id, ["known"])]
    await story.customer_writes(HELLO, author="somebody")
    assert await given(story) == [(yacine.id, ["least_busy"])]
    clock.forward(days=30)
    await change(story, amina, assigned_at=clock.at)
    await story.agent_resolves(yacine)
    await story.customer_writes(HELLO, author="lyes", thread="third")
    assert (await given(story))[0][1] != ["known"], "it is too long ago"


@on_one_database
async def test_darija_waits_for_somebody_who_speaks_it_and_then_for_nobody_any_more(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina", team="technique")
    await change(story, amina, languages=["fr"])
    await story.customer_writes("slm, la connexion ta3kom mayta men lbareh w 7ed ma jawebni, 3iyitouna")
    assert await given(story) == []
    clock.forward(minutes=6)
    await drain(story.line)
    assert await given(story) == [(amina.id, ["without_language:arq-Latn", "only"])]


@on_one_database
async def test_a_skill_that_a_rule_asks_for_finds_who_has_it(line: Line) -> None:
    story, _ = await begin(line)
    await story.agent("Amina")
    yacine = await story.agent("Yacine", presence="offline")
    await change(story, yacine, skills=["fibre"])
    await settle(story, chats=0)
    await story.customer_writes(HELLO)
    async with story.line.database.write() as session:
        await session.execute(update(Conversation).values(wanted_skill="fibre"))
    await settle(story)
    await drain(story.line)
    assert await given(story) == []
    await change(story, yacine, presence="online")
    await drain(story.line)
    assert await given(story) == [(yacine.id, ["skill:fibre", "only"])]


@on_one_database
async def test_another_team_helps_out_when_ours_is_full_for_too_long(line: Line) -> None:
    story, clock = await begin(line)
    omar = await story.agent("Omar", team="technique")
    async with story.line.database.write() as session:
        helper = select_team("technique")
        await session.execute(
            update(Team).where(col(Team.key) == "support").values(overflow_team_id=helper, overflow_minutes=10)
        )
    await story.customer_writes(HELLO)
    assert await given(story) == []
    clock.forward(minutes=10)
    await drain(story.line)
    team = (await story.conversation()).team_id
    assert await given(story) == [(omar.id, [f"overflow:{TEAM_TECHNIQUE}", "only"])]
    assert team != TEAM_TECHNIQUE, "it stays the team's that it belongs to"


TEAM_TECHNIQUE = 3


def select_team(key: str) -> Any:
    from sqlalchemy import select

    return select(col(Team.id)).where(col(Team.key) == key).scalar_subquery()


@on_one_database
async def test_nobody_gets_work_outside_of_their_hours(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await change(story, amina, hours={"6": "14:00-18:00"})  # the clock says Sunday, 13:00 in Algiers
    await story.customer_writes(HELLO)
    assert await given(story) == []
    clock.forward(hours=1)
    await drain(story.line)
    assert await given(story) == [(amina.id, ["only"])]


@on_one_database
async def test_comments_and_chats_are_counted_apart_and_limits_can_be_somebodys_own(line: Line) -> None:
    story, _ = await begin(line)
    amina = await story.agent("Amina")
    await settle(story, chats=4, comments=1)
    await change(story, amina, capacity={"chats": 1})
    for number in range(2):
        await story.customer_writes(HELLO, author=f"a{number}")
        await story.customer_writes(HELLO, author=f"b{number}", kind="comment", thread=f"post-{number}")
    found = Counter(c.kind for c in await story.rows(Conversation) if c.agent_id == amina.id)
    assert found == {"direct_message": 1, "comment": 1}


async def test_when_an_agent_goes_offline_what_waits_goes_to_a_colleague_with_a_note(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO, author="waits")
    await story.customer_writes(HELLO, author="answered")
    await story.agent_answers(amina, "At eight.")
    yacine = await story.agent("Yacine")
    await change(story, amina, presence="offline", presence_at=clock.at)
    clock.forward(minutes=4)
    assert await leave(story.line) == 0
    clock.forward(minutes=2)
    assert await leave(story.line) == 1
    await drain(story.line)
    waits, answered = await story.rows(Conversation)
    assert (waits.agent_id, answered.agent_id) == (yacine.id, amina.id)
    events = [e for e in await story.rows(ConversationEvent) if e.kind == "assigned" and e.conversation_id == waits.id]
    assert [e.data["agent_id"] for e in events] == [amina.id, None, yacine.id]
    assert (events[1].data["from"], events[1].data["why"]) == (amina.id, ["offline:6"])


@on_one_database
async def test_what_nobody_could_take_meanwhile_comes_back_to_who_had_it(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO)
    await change(story, amina, presence="away", presence_at=clock.at)
    clock.forward(minutes=25)
    await leave(story.line)
    await drain(story.line)
    assert (await story.conversation()).agent_id is None
    await story.agent("Yacine")
    await change(story, amina, presence="online", presence_at=clock.at)
    await drain(story.line)
    assert (await given(story))[-1] == (amina.id, ["known"])


@on_one_database
async def test_an_agent_who_is_silent_loses_the_conversation_to_a_colleague_only(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO)
    clock.forward(hours=2)
    assert await leave(story.line) == 0, "there is nobody else"
    yacine = await story.agent("Yacine")
    assert await leave(story.line) == 1
    await drain(story.line)
    assert await given(story) == [(amina.id, ["only"]), (None, ["silent:120"]), (yacine.id, ["only"])]


@on_one_database
async def test_who_closed_the_browser_counts_as_offline_and_who_never_had_one_does_not(line: Line) -> None:
    story, clock = await begin(line)
    amina, bot = await story.agent("Amina"), await story.agent("Api")
    async with story.line.database.write() as session:
        session.add(
            WebSession(
                token_hash="x",
                csrf_token="y",
                agent_id=amina.id or 0,
                created_at=clock.at,
                seen_at=clock.at,
                expires_at=clock.at + timedelta(days=1),
            )
        )
    clock.forward(minutes=31)
    await leave(story.line)
    agents = {a.id: a for a in await story.rows(Agent)}
    assert (agents[amina.id].presence, agents[amina.id].presence_note) == ("offline", "gone")
    assert agents[bot.id].presence == "online"


@on_one_database
async def test_what_a_person_assigned_to_nobody_is_left_to_people_until_the_customer_writes(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes(HELLO)
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        await assign(session, story.line, conversation, None, amina)
    await drain(story.line)
    assert (await story.conversation()).agent_id is None
    clock.forward(minutes=5)
    await story.customer_writes("hello? are you there?")
    assert (await story.conversation()).agent_id == amina.id


@on_one_database
async def test_what_comes_back_after_it_was_resolved_begins_to_wait_anew(line: Line) -> None:
    story, clock = await begin(line)
    amina = await story.agent("Amina", presence="offline")
    await story.customer_writes(HELLO)
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        conversation.wanted_skill = "fibre"
        await resolve(session, story.line, conversation, None)
    clock.forward(days=1)
    await story.customer_writes("my internet has been down for days, unacceptable!")
    conversation = await story.conversation()
    assert (conversation.status, conversation.queued_at, conversation.wanted_skill) == ("open", clock.at, "")
    assert conversation.agent_id != amina.id


async def test_several_processes_give_each_conversation_once_and_nobody_too_much(line: Line) -> None:
    story, clock = await begin(line)
    for number in range(5):
        await story.agent(f"Agent{number}", presence="offline")
    payloads = [{"id": f"m{n}", "author": f"p{n}", "text": HELLO, "sent_at": clock.at.isoformat()} for n in range(40)]
    await story.platform_says(payloads)
    async with story.line.database.write() as session:
        await session.execute(update(Agent).values(presence="online"))
    lines = [replace(story.line, work=asyncio.Event()) for _ in range(4)]
    while any(await asyncio.gather(*(route(each) for each in lines))):
        pass
    load = Counter(c.agent_id for c in await story.rows(Conversation) if c.agent_id)
    assert sorted(load.values()) == [4] * 5
    events = Counter(e.conversation_id for e in await story.rows(ConversationEvent) if e.kind == "assigned")
    assert (len(events), set(events.values())) == (20, {1})


@on_one_database
async def test_somebody_in_two_teams_has_one_limit(line: Line) -> None:
    story, _ = await begin(line)
    amina = await story.agent("Amina")
    async with story.line.database.write() as session:
        session.add(TeamMember(team_id=TEAM_TECHNIQUE, agent_id=amina.id or 0))
    for number in range(3):
        await story.customer_writes(HELLO, author=f"a{number}")
        await story.customer_writes("my internet has been down for days, unacceptable!", author=f"b{number}")
    assert Counter(c.agent_id for c in await story.rows(Conversation)) == {amina.id: 4, None: 2}
