"""Who gets work and why: the settings, the team, and moving several conversations at once."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from socialcrm.domain.people import Agent, Team, TeamMember, WebSession
from socialcrm.domain.rows import BulkMove, Contact, Conversation, ConversationEvent, Resolution, RoutingVersion
from socialcrm.engine.leave import leave
from socialcrm.engine.line import Line
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.route import route
from socialcrm.engine.routing import routing_in_force
from tests.engine.scripted import on_one_database
from tests.story import Clock, Story, line_with
from tests.web.browser import Browser, Site, site

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
ROW = re.compile(r'id="row-(\d+)"')


class Running(Clock):
    """A clock that goes on by itself, as real ones do."""

    def __call__(self) -> datetime:
        self.forward(milliseconds=1)
        return self.at


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line_with(line, Running())) as opened:
        yield opened


async def teams(here: Site, *keys: str) -> list[int]:
    async with here.line.database.write() as session:
        made = [Team(key=key, name=key.title()) for key in keys]
        session.add_all(made)
    return [team.id or 0 for team in made]


async def now_of(here: Site, table: Any, number: int | None) -> Any:
    async with here.line.database.read() as session:
        return await session.get_one(table, number)


async def boss(here: Site, role: str = "supervisor") -> Browser:
    return await here.signed_in(await here.agent("Nadia", role=role))


async def saved(browser: Browser, **changes: str) -> tuple[int, str]:
    """Send the form of settings as the page shows it, with some fields changed."""
    page = await browser.text("/automation/routing")
    form = page[page.index('action="/automation/routing"') : page.index('id="teams"')]
    shown = dict(re.findall(r'<input id="[\w-]+" name="([\w-]+)"[^>]* value="([^"]*)"', form))
    shown |= dict(re.findall(r'<textarea id="\w+" name="(\w+)"[^>]*>([^<]*)<', form))
    assert {"chats", "silent_minutes", "weight-complaint", "tiers"} <= set(shown)
    answer = await browser.post("/automation/routing", {**shown, "default_team": "", **changes})
    return answer.status, await answer.text()


@on_one_database
async def test_settings_are_saved_as_they_are_shown_and_changed(here: Site) -> None:
    browser = await boss(here)
    support, _ = await teams(here, "support", "technique")
    await here.conversation("hi")
    sent = {"chats": "6", "weight-complaint": "-2,5", "labels": "vip = 12\n", "default_team": str(support)}
    assert (await saved(browser, **sent, **{"apart-echo": "9", "silent_minutes": "0"}))[0] == 303
    async with here.line.database.read() as session:
        routing = await routing_in_force(session, here.line)
        version = (await session.execute(select(RoutingVersion))).scalar_one()
    assert (routing.chats, routing.comments, routing.apart, routing.silent_minutes) == (6, 10, {"echo": 9}, 0)
    assert (routing.weights.complaint, routing.weights.labels, routing.default_team_id) == (
        -2.5,
        {"vip": 12.0},
        support,
    )
    assert routing.weights.tiers == {"gold": 30, "silver": 15, "bronze": 5}
    assert version.changed_by is not None
    page = await browser.text("/automation/routing?saved=settings")
    assert "by Nadia" in page
    assert 'value="-2.5"' in page


@on_one_database
@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("chats", "many", "Write a whole number from 0 to 1000."),
        ("chats", "1001", "Write a whole number from 0 to 1000."),
        ("comments", "", "Write a whole number"),
        ("silent_minutes", "-1", "Write a number from 0 to 100000."),
        ("weight-complaint", "nan", "Write a number from -1000 to 1000."),
        ("weight-waiting", "-5", "Write a number from 0 to 1000."),
        ("tiers", "gold: 30", "The line “gold: 30” is not."),
        ("labels", "vip = inf", "The line “vip = inf” is not."),
        ("default_team", "99", "There is no such team any more."),
    ],
)
async def test_what_is_wrong_is_named_beside_its_field_and_nothing_is_saved(
    here: Site, field: str, value: str, why: str
) -> None:
    browser = await boss(here)
    status, page = await saved(browser, **{field: value})
    assert status == 422
    assert why in page
    assert f'id="wrong-{field.removeprefix("weight-")}' in page or f'id="wrong-{field}"' in page
    async with here.line.database.read() as session:
        assert (await session.execute(select(RoutingVersion))).first() is None


@on_one_database
async def test_what_somebody_can_do_and_who_helps_whom_is_set_on_the_page(here: Site) -> None:
    browser = await boss(here)
    support, technique = await teams(here, "support", "technique")
    amina = await here.agent("Amina")
    form = {
        "team": str(technique),
        "language": "ar",
        "skills": "Fibre, VIP,fibre",
        "own-chats": "2",
        "hours-0": "8h00-12h00",
    }
    assert (await browser.post(f"/automation/routing/people/{amina.id}", form)).status == 303
    kept = await now_of(here, Agent, amina.id)
    assert (kept.skills, kept.languages) == (["fibre", "vip"], ["ar"])
    assert (kept.capacity, kept.hours) == ({"chats": 2}, {"0": "08:00-12:00"})
    async with here.line.database.read() as session:
        member = (await session.execute(select(TeamMember))).scalar_one()
    assert (member.team_id, member.agent_id) == (technique, amina.id)
    wrong = await browser.post(
        f"/automation/routing/people/{amina.id}", {**form, "hours-1": "17:00-08:00", "own-chats": "x"}
    )
    page = await wrong.text()
    assert wrong.status == 422
    assert "A period should end after it starts" in page
    assert "17:00-08:00" in page, "what was typed is still there"
    assert (
        await browser.post(f"/automation/routing/teams/{support}", {"helper": str(technique), "minutes": "7"})
    ).status == 303
    team = await now_of(here, Team, support)
    assert (team.overflow_team_id, team.overflow_minutes) == (technique, 7)
    itself = await browser.post(f"/automation/routing/teams/{support}", {"helper": str(support), "minutes": "soon"})
    assert itself.status == 422
    assert "A team cannot help itself out." in await itself.text()


@on_one_database
async def test_agents_and_analysts_neither_see_nor_change_how_work_is_given_out(here: Site) -> None:
    conversation = await here.conversation("hi")
    for role in ("agent", "analyst"):
        browser = await here.signed_in(await here.agent(role.title(), role=role))
        assert [(await browser.get(path)).status for path in ("/automation/routing", "/team")] == [403, 403]
        form = {"conversation": str(conversation.id), "to": "resolve"}
        assert (await browser.post("/inbox/move", form)).status == 403
        assert 'class="queue-pick"' not in await browser.text("/inbox?tab=all")
    assert (await now_of(here, Conversation, conversation.id)).status == "open"


@on_one_database
async def test_the_queue_shows_what_an_urgency_is_made_of_and_sorts_by_it(here: Site) -> None:
    browser = await boss(here)
    start = here.line.now() - timedelta(hours=2)
    made = [await here.conversation(f"m{n}", at=start + timedelta(minutes=n)) for n in range(35)]
    async with here.line.database.write() as session:
        first = col(Conversation.id) == made[0].id
        await session.execute(update(Conversation).where(first).values(is_complaint=True, sentiment="negative"))
        last = col(Conversation.id) == made[34].id
        await session.execute(update(Conversation).where(last).values(waiting_since_at=None))
    await prioritize(here.line)
    newest = await browser.text("/inbox?tab=all")
    assert ROW.findall(newest)[0] == str(made[34].id)
    page = await browser.text("/inbox?tab=all&sort=urgent")
    assert "Complaint +20" in page
    assert "Waiting +20" in page
    shown = ROW.findall(page)
    assert shown == [str(c.id) for c in made[:30]], "who waits longest is first, and the complaint before all"
    more = re.search(r'hx-get="([^"]+before=[^"]+)"', page)
    assert more
    rest = ROW.findall(await browser.text(more[1].replace("&amp;", "&"), **HTMX))
    assert rest == [str(c.id) for c in made[30:34]], "nobody waits for an answer in the last one"
    for nonsense in ("x,1", "nan,1", "1.0,0", "5"):
        assert ROW.findall(await browser.text(f"/inbox/queue?tab=all&sort=urgent&before={nonsense}", **HTMX))


async def test_supervisors_move_several_at_once_and_take_it_back(here: Site) -> None:
    browser = await boss(here)
    (support,) = await teams(here, "support")
    amina, yacine = await here.agent("Amina"), await here.agent("Yacine")
    made = [await here.conversation("x", agent=amina) for _ in range(3)]
    done = await here.conversation("y", agent=amina, status="resolved")
    ids = [("conversation", str(c.id)) for c in [*made, done]]

    async def move(to: str) -> str:
        data = [("csrf_token", browser.csrf), *ids, ("to", to)]
        answer = await browser.client.post("/inbox/move", data=data, headers=HTMX)
        assert answer.status == 200, await answer.text()
        return await answer.text()

    async def undo(page: str) -> str:
        found = re.search(r'action="(/inbox/move/\d+/undo)"', page)
        assert found
        answer = await browser.post(found[1], **HTMX)
        return await answer.text() if answer.status == 200 else f"{answer.status}: {await answer.text()}"

    async def has() -> list[int | None]:
        return [(await now_of(here, Conversation, c.id)).agent_id for c in made]

    page = await move(f"agent:{yacine.id}")
    assert "3 conversations given to Yacine." in page
    assert await has() == [yacine.id] * 3
    assert "3 conversations are as they were." in await undo(page)
    assert await has() == [amina.id] * 3
    assert "cannot be undone" in await undo(page), "once is enough"

    page = await move(f"team:{support}")
    assert "3 conversations given to Support." in page
    first = await now_of(here, Conversation, made[0].id)
    assert (first.team_id, first.agent_id, first.avoided_agent_id) == (support, None, amina.id)
    assert here.line.now() - first.queued_at < timedelta(seconds=1)
    await undo(page)
    first = await now_of(here, Conversation, made[0].id)
    assert (first.team_id, first.agent_id, first.queued_at) == (None, amina.id, None)

    page = await move("resolve")
    assert "3 conversations resolved." in page
    async with here.line.database.read() as session:
        assert len((await session.execute(select(Resolution))).all()) == 3
    assert "3 conversations are as they were." in await undo(page)
    first = await now_of(here, Conversation, made[0].id)
    assert (first.status, first.resolved_at, first.waiting_since_at) == ("open", None, made[0].waiting_since_at)
    async with here.line.database.read() as session:
        assert not (await session.execute(select(Resolution))).all(), "and nobody is asked how it was"
    assert (await now_of(here, Conversation, done.id)).status == "resolved"


@on_one_database
async def test_an_undo_leaves_alone_what_somebody_has_worked_on_since(here: Site) -> None:
    browser = await boss(here)
    amina, yacine = await here.agent("Amina"), await here.agent("Yacine")
    made = [await here.conversation("x", agent=amina) for _ in range(2)]
    data = [("csrf_token", browser.csrf), *(("conversation", str(c.id)) for c in made), ("to", "queue")]
    page = await (await browser.client.post("/inbox/move", data=data, headers=HTMX)).text()
    assert "2 conversations went back to the queue." in page
    here.line.now.forward(minutes=1)  # type: ignore[attr-defined]
    theirs = await here.signed_in(yacine)
    assert (await theirs.post(f"/inbox/{made[0].id}/take", **HTMX)).status == 200
    found = re.search(r'action="(/inbox/move/\d+/undo)"', page)
    assert found
    told = await (await browser.post(found[1], **HTMX)).text()
    assert "1 conversation is as it was." in told
    assert "1 was left: somebody has worked on it since." in told
    assert [(await now_of(here, Conversation, c.id)).agent_id for c in made] == [yacine.id, amina.id]
    late = [("csrf_token", browser.csrf), ("conversation", str(made[1].id)), ("to", "resolve")]
    page = await (await browser.client.post("/inbox/move", data=late, headers=HTMX)).text()
    here.line.now.forward(minutes=20)  # type: ignore[attr-defined]
    found = re.search(r'action="(/inbox/move/\d+/undo)"', page)
    assert found
    assert (await browser.post(found[1], **HTMX)).status == 409


@on_one_database
async def test_a_move_without_conversations_or_a_target_says_what_is_missing(here: Site) -> None:
    browser = await boss(here)
    conversation = await here.conversation("x")
    analyst = await here.agent("Rayan", role="analyst")
    number = str(conversation.id)
    for form, why in (
        ({"to": "queue"}, "Choose conversations first."),
        ({"to": "", "conversation": number}, "Choose whom to give them to."),
        ({"to": "agent:x", "conversation": number}, "Choose whom to give them to."),
        ({"to": f"agent:{analyst.id}", "conversation": number}, "There is no such agent any more."),
        ({"to": "team:77", "conversation": number}, "There is no such team any more."),
    ):
        answer = await browser.post("/inbox/move", form, **HTMX)
        assert (answer.status, await answer.text()) == (422, why)
    async with here.line.database.read() as session:
        assert (await session.execute(select(BulkMove))).first() is None


@on_one_database
async def test_the_team_page_says_who_is_here_how_busy_they_are_and_why_others_wait(here: Site) -> None:
    browser = await boss(here)
    support, technique = await teams(here, "support", "technique")
    amina, yacine = await here.agent("Amina"), await here.agent("Yacine")
    now = here.line.now()
    for agent in (amina, yacine):
        await here.conversation("x", agent=agent)
    free = await here.conversation("y")
    async with here.line.database.write() as session:
        session.add_all(
            [
                TeamMember(team_id=support, agent_id=amina.id or 0),
                TeamMember(team_id=technique, agent_id=yacine.id or 0),
            ]
        )
        await session.execute(update(Agent).where(col(Agent.id) == amina.id).values(presence="online"))
        away = {"presence": "away", "presence_note": "lunch", "presence_at": now - timedelta(minutes=12)}
        await session.execute(update(Agent).where(col(Agent.id) == yacine.id).values(**away))
        waits = {"team_id": technique, "queued_at": now - timedelta(minutes=8)}
        await session.execute(update(Conversation).where(col(Conversation.id) == free.id).values(**waits))
    page = await browser.text("/team")
    assert "1 of 4" in page
    assert "lunch" in page
    assert "1 waits for somebody" in page
    assert "nobody of the team is here." in page
    answer = await browser.post(f"/team/{yacine.id}/move", {"which": "waiting", "to": f"agent:{amina.id}"}, **HTMX)
    assert "1 conversation given to Amina." in await answer.text()
    itself = await browser.post(f"/team/{yacine.id}/move", {"which": "all", "to": f"agent:{yacine.id}"}, **HTMX)
    assert itself.status == 422
    assert (await browser.post(f"/team/{yacine.id}/presence", {"presence": "online"})).status == 303
    here_again = await now_of(here, Agent, yacine.id)
    assert (here_again.presence, here_again.presence_note) == ("online", "")
    await route(here.line)
    assert (await now_of(here, Conversation, free.id)).agent_id == yacine.id


@on_one_database
async def test_agents_say_why_they_are_away_and_who_comes_back_is_online_again(here: Site) -> None:
    amina = await here.agent("Amina")
    browser = await here.signed_in(amina)
    await browser.post("/me/presence", {"presence": "away", "note": "  lunch "})
    kept = await now_of(here, Agent, amina.id)
    assert (kept.presence, kept.presence_note) == ("away", "lunch")
    assert here.line.now() - kept.presence_at < timedelta(seconds=1)
    await browser.post("/me/presence", {"presence": "online", "note": "lunch"})
    assert (await now_of(here, Agent, amina.id)).presence_note == ""
    here.line.now.forward(minutes=40)  # type: ignore[attr-defined]
    await leave(here.line)
    assert (await now_of(here, Agent, amina.id)).presence == "offline"
    await browser.text("/inbox")
    assert (await now_of(here, Agent, amina.id)).presence == "online"
    async with here.line.database.read() as session:
        assert (await session.execute(select(WebSession))).first() is not None


@on_one_database
async def test_a_customers_loyalty_is_set_beside_the_conversation_and_counts(here: Site) -> None:
    amina = await here.agent("Amina")
    browser = await here.signed_in(amina)
    conversation = await here.conversation("x")
    await prioritize(here.line)
    assert (await browser.post(f"/inbox/{conversation.id}/tier", {"tier": "gold"}, **HTMX)).status == 200
    await prioritize(here.line)
    assert (await now_of(here, Contact, conversation.contact_id)).tier == "gold"
    assert (await now_of(here, Conversation, conversation.id)).score_terms["tier"] == 30
    answer = await browser.post(f"/inbox/{conversation.id}/tier", {"tier": "emperor"}, **HTMX)
    assert answer.status == 422


@on_one_database
async def test_the_thread_says_why_somebody_got_it_and_why_they_lost_it(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    amina, _ = await story.agent("Amina"), await story.agent("Yacine", presence="away")
    await story.customer_writes("hello, what time do you open?")
    async with story.line.database.write() as session:
        await session.execute(update(Agent).where(col(Agent.id) == amina.id).values(presence="offline"))
    clock.forward(minutes=10)
    await leave(story.line)
    async with site(story.line) as opened:
        browser = await opened.signed_in(await opened.agent("Nadia", role="supervisor"))
        page = await browser.text(f"/inbox/{(await story.conversation()).id}")
    assert "automatically: the only one with room, 1 of 4" in page.replace("\u2068", "").replace("\u2069", "")
    assert "is offline and the customer waits: back to the queue" in page
    assert [e.kind for e in await story.rows(ConversationEvent)].count("assigned") == 2
