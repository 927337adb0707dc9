"""The bot's page: what it does by itself, its flows and their preview, calls to make, taking over, and drafts."""

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from socialcrm.domain.bot import BotPlanRow, CallBack, FlowVersion, Plan
from socialcrm.domain.rows import ConversationEvent
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import playbook, shipped, switch
from tests.engine.scripted import on_one_database
from tests.servers.completions import completions
from tests.story import Story, line_with
from tests.web.desk import Desk, desk

FORM = {"is_on": "yes", "answers": "yes", "faq_bar": "90", "public_bar": "85", "public_least": "30"}


@pytest.fixture
async def admin(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as opened:
        await opened.sign_in()
        yield opened


async def plan(line: Line) -> Plan:
    async with line.database.read() as session:
        return (await playbook(session, line)).plan


def errors(page: str) -> list[str]:
    found = re.search(r'<ul class="flow-mistakes">(.*?)</ul>', page, re.DOTALL)
    return [unescape(text) for text in re.findall(r"<li[^>]*>([^<]*)</li>", found[1])] if found else []


@on_one_database
async def test_what_the_bot_does_is_set_and_a_mistake_changes_nothing(admin: Desk) -> None:
    status, page = await admin.get("/automation/bot")
    assert status == 200
    assert "data-figures" in page, "the shipped FAQ is measured"
    own = {"greeting.fr": "Bonjour de {company}", "handover.en": "One moment.", "greets": "yes"}
    status, page = await admin.post("/automation/bot", FORM | own)
    assert (status, "Saved." in page) == (200, True)
    made = await plan(admin.line)
    assert (made.greets, made.tells_closed, made.faq_bar) == (True, False, 0.9)
    assert made.texts == {"greeting": {"fr": "Bonjour de {company}"}, "handover": {"en": "One moment."}}
    for wrong, said in (
        ({"faq_bar": "20"}, "between 50 and 100 percent"),
        ({"public_least": "many"}, "between 10 and 10,000"),
        ({"greeting.fr": "Bonjour {nobody}"}, "greeting in fr cannot say {nobody}"),
        ({"greeting.fr": "Bonjour {"}, "One of the texts cannot be used"),
    ):
        status, page = await admin.post("/automation/bot", FORM | wrong)
        assert (status, said in unescape(page)) == (422, True), wrong
        assert "Nothing was changed" in page
    assert await plan(admin.line) == made
    story = await Story.begin(admin.line)
    [row] = await story.rows(BotPlanRow)
    assert row.agent_id is not None


@on_one_database
async def test_a_flow_is_written_with_its_mistakes_beside_it_and_every_version_is_kept(admin: Desk) -> None:
    source = shipped(admin.line.settings.bot.flows)["callback"].source
    broken = source.replace('no = "phone"', 'no = "nowhere"')
    _, page = await admin.post("/automation/bot/check", {"source": broken, "name": "callback"})
    assert errors(page) == ["Step “check” leads to “nowhere”, which does not exist."]
    status, page = await admin.post("/automation/bot/flows", {"source": broken, "name": "callback"})
    assert (status, "Nothing was changed" in page) == (422, True)
    assert unescape(page).count('no = "nowhere"') == 1, "what was typed is still there"
    for version in ("one", "two"):
        changed = re.sub("(?m)^title = .*$", f'title = "Version {version}"', source)
        status, page = await admin.post("/automation/bot/flows", {"source": changed, "name": "callback"})
        assert (status, f"Version {version}" in page) == (200, True)
    story = await Story.begin(admin.line)
    assert [row.version for row in await story.rows(FlowVersion)] == [1, 2]
    _, old = await admin.get("/automation/bot/flows/callback?version=1")
    assert "Version one" in unescape(old)
    _, page = await admin.post("/automation/bot/flows", {"source": source, "name": ""})
    assert errors(page) == ["name: there is a flow called “callback” already."]
    assert (await admin.get("/automation/bot/flows/gone"))[0] == 404


@on_one_database
async def test_a_preview_plays_a_flow_and_nobody_gets_a_message(admin: Desk) -> None:
    source = shipped(admin.line.settings.bot.flows)["welcome"].source
    form = {"source": source, "name": "welcome", "language": "en", "hours": "open", "answers": "[]"}
    _, page = await admin.post("/automation/bot/play", form | {"restart": "yes"})
    assert "What can we do for you?" in page
    [pressed] = re.findall(r'value="(callback\|[^"]*)"', page)
    for answer in ({"picked": unescape(pressed)}, {"text": "0550 12 34 56"}, {"text": "2"}, {"text": "yes"}):
        answers = unescape(re.findall(r'name="answers" value="([^"]*)"', page)[0])
        _, page = await admin.post("/automation/bot/play", form | {"answers": answers} | answer)
    assert "A call-back is left: +213550123456" in page
    assert "The flow is over" in page
    story = await Story.begin(admin.line)
    assert await story.rows(CallBack) == []
    assert await story.messages("out") == []
    _, page = await admin.post("/automation/bot/play", form | {"source": "name = ", "answers": "{broken"})
    assert "Mend the mistakes first" in page


@on_one_database
async def test_flows_are_switched_on_and_off_but_not_with_mistakes(admin: Desk) -> None:
    for deed, is_on in (("on", True), ("off", False)):
        assert (await admin.post(f"/automation/bot/flows/welcome/{deed}"))[0] == 200
        async with admin.line.database.read() as session:
            assert (await playbook(session, admin.line)).known["welcome"].is_on is is_on
    assert (await admin.post("/automation/bot/flows/gone/on"))[0] == 404
    await admin.sign_in("agent")
    assert (await admin.post("/automation/bot/flows/welcome/on"))[0] == 403
    assert (await admin.get("/automation/bot"))[0] == 403


@on_one_database
async def test_an_agent_takes_over_from_the_bot_and_the_customer_is_told(admin: Desk) -> None:
    line = admin.line
    story = await Story.begin(line)
    async with line.database.write() as session:
        await switch(session, line, "callback", True)
    await story.customer_writes("please call me back")
    number = (await story.conversation()).id
    _, page = await admin.get(f"/inbox/{number}")
    assert "Bot answers" in page
    agent = await admin.sign_in("agent")
    await admin.post(f"/inbox/{number}/take-over")
    conversation = await story.conversation()
    assert (conversation.handler, conversation.agent_id) == ("human", agent.id)
    assert len(await story.messages("out")) == 2
    assert (await story.messages("out"))[-1].text.startswith(f"{agent.name} ")
    await admin.post(f"/inbox/{number}/take-over")
    assert len(await story.messages("out")) == 2, "once"
    [event] = [e for e in await story.rows(ConversationEvent) if e.kind == "handed_over"]
    assert event.agent_id == agent.id
    _, page = await admin.get(f"/inbox/{number}")
    assert "People answer" in page
    await story.customer_writes("0550123456")
    assert len(await story.messages("out")) == 2, "the bot is silent"


@on_one_database
async def test_a_call_is_shown_where_it_is_needed_and_goes_when_it_was_made(admin: Desk) -> None:
    line = admin.line
    story = await Story.begin(line)
    async with line.database.write() as session:
        await switch(session, line, "callback", True)
    for text in ("please call me back", "0550123456", "1", "yes"):
        await story.customer_writes(text)
    [call] = await story.rows(CallBack)
    number = (await story.conversation()).id
    for path in ("/automation/bot", f"/inbox/{number}"):
        assert 'class="mono" href="tel:+213550123456"' in (await admin.get(path))[1]
    _, page = await admin.post(f"/call-backs/{call.id}/done", {"back": "bot"})
    assert "is off the list" in page
    assert 'class="mono" href="tel:+213550123456"' not in (await admin.get(f"/inbox/{number}"))[1]
    await admin.post(f"/call-backs/{call.id}/open", {"back": "bot"})
    assert [row.status for row in await story.rows(CallBack)] == ["open"]
    assert (await admin.post("/call-backs/999/done"))[0] == 404
    await admin.sign_in("analyst")
    assert (await admin.post(f"/call-backs/{call.id}/done"))[0] == 403


@on_one_database
async def test_the_summary_of_a_hand_over_stands_in_the_thread(admin: Desk) -> None:
    line = admin.line
    story = await Story.begin(line)
    async with line.database.write() as session:
        await switch(session, line, "callback", True)
    for text in ("please call me back", "0550123456", "I want to talk to a human"):
        await story.customer_writes(text)
    _, page = await admin.get(f"/inbox/{(await story.conversation()).id}")
    summary = page[page.index("summary-card") :]
    assert "+213550123456" in summary
    assert "callback" in summary


@on_one_database
async def test_a_draft_goes_to_the_composer_only_and_its_button_is_there_when_it_is_on(line: Line) -> None:
    async with completions() as model, desk(line) as off:
        story = await Story.begin(line)
        await story.customer_writes("bonjour, une question sur mon contrat svp")
        path = f"/inbox/{(await story.conversation()).id}"
        await off.sign_in("agent")
        assert "data-draft" not in (await off.get(path))[1]
        status, text = await off.post(f"{path}/draft")
        assert (status, "switched off" in text) == (409, True)
        drafting = {"is_on": True, "base_url": model.url, "model": "small", "name": "Plume"}
        async with desk(line_with(line, None, drafting=drafting)) as on:
            await on.sign_in("agent")
            assert "Draft with Plume" in (await on.get(path))[1]
            before = len(await story.messages("out"))
            assert await on.post(f"{path}/draft") == (200, "Bonjour, un collègue vérifie.")
            assert len(await story.messages("out")) == before
            await on.sign_in("analyst")
            assert (await on.post(f"{path}/draft"))[0] == 403
