"""Pages of promises: policies, what the inbox shows of them, waiting, and notices."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from socialcrm.domain.rows import Agent, ConversationEvent, Escalation, Notice, Sla, SlaPolicy
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from socialcrm.web.escalations import mail_escalations
from socialcrm.web.guard import COOKIE
from tests.engine.scripted import on_one_database
from tests.servers.mail import HOST, smtp_server
from tests.sessions import open_session
from tests.story import Clock, Story, line_with
from tests.web.desk import Desk, desk

MONDAY = datetime(2026, 4, 13, 8, 0, tzinfo=UTC)


@dataclass
class Office:
    story: Story
    clock: Clock
    desk: Desk
    boss: Agent


@pytest.fixture
async def office(line: Line) -> AsyncIterator[Office]:
    clock = Clock(MONDAY)
    story = await Story.begin(line_with(line, clock))
    async with desk(story.line) as opened:
        boss = await opened.sign_in("supervisor")
        await drain(story.line)
        yield Office(story, clock, opened, boss)


def plain(text: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", text).split())


FORM = {
    "name": "Complaints",
    "priorities": "high",
    "target-first_response": "0,5",
    "target-first_response-unit": "hours",
    "pauses": "customer",
    "labels": "réseau, facture",
    "rung-0-percent": "80",
    "rung-0-tell": "supervisors",
}


async def test_a_promise_is_made_ordered_switched_and_brought_back(office: Office) -> None:
    page, story = office.desk, office.story
    status, text = await page.get("/automation/sla")
    assert status == 200
    assert re.findall(r'<h2 class="grow"><a[^>]*><bdi>(.*?)</bdi>', text) == ["Urgent", "Public", "Standard"]
    status, text = await page.post("/automation/sla/new", FORM)
    assert status == 200
    assert "30 mins" in text
    assert re.findall(r"<bdi>(\w+)</bdi></a></h2>", text) == ["Urgent", "Public", "Complaints", "Standard"]
    made = (await story.rows(SlaPolicy))[-1]
    assert made.data == {
        "priorities": ["high"],
        "labels": ["réseau", "facture"],
        "pauses": ["customer"],
        "targets": {"first_response": 30},
        "ladder": [{"percent": 80, "tell": "supervisors"}],
    }
    _, text = await page.post(f"/automation/sla/{made.id}/up")
    assert re.findall(r"<bdi>(\w+)</bdi></a></h2>", text) == ["Urgent", "Complaints", "Public", "Standard"]
    await page.post(f"/automation/sla/{made.id}/off")
    assert not (await story.rows(SlaPolicy))[-1].is_on
    _, text = await page.post(f"/automation/sla/{made.id}/remove")
    assert "Complaints was taken away." in text
    _, text = await page.post(f"/automation/sla/{made.id}/restore")
    assert ">Complaints<" in text
    status, text = await page.post(f"/automation/sla/{made.id}", {**FORM, "name": "Sorry", "rung-0-percent": ""})
    assert status == 200
    _, text = await page.post(f"/automation/sla/{made.id}/versions/1")
    assert "Version 3" in text
    assert (await story.rows(SlaPolicy))[-1].name == "Complaints"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"target-first_response": ""}, "The policy promises nothing: give at least one of the three times."),
        ({"target-first_response": "soon"}, "A promise takes more than no time: it is soon minutes."),
        ({"target-first_response": "0"}, "A promise takes more than no time: it is 0 minutes."),
        ({"target-first_response": "99999"}, "A promise of more than 365 days is none."),
        ({"rung-0-percent": "5000"}, "A step of the ladder comes at 1 to 1000 percent of the time."),
        ({"rung-0-tell": "email"}, "A step by e-mail needs addresses with commas between; it has &#34;&#34;."),
        ({"rung-0-tell": "webhook"}, "A step by webhook needs the name of one of the webhooks."),
        ({"name": ""}, "Give it a name."),
    ],
)
@on_one_database
async def test_a_promise_that_cannot_be_stays_on_the_page_with_the_reason(
    office: Office, more: dict[str, str], sentence: str
) -> None:
    status, text = await office.desk.post("/automation/sla/new", {**FORM, **more})
    assert status == 422
    assert sentence in text
    assert 'value="réseau, facture"' in text, "what was typed is still there"
    assert len(await office.story.rows(SlaPolicy)) == 3


async def test_the_inbox_counts_down_and_says_when_it_is_too_late(office: Office) -> None:
    story, clock, page = office.story, office.clock, office.desk
    await story.customer_writes("Bonjour, quels sont vos horaires ?")
    conversation = await story.conversation()

    async def shown(path: str) -> str:
        status, text = await page.get(path)
        assert status == 200
        return plain(text)

    assert "Answer within 1h" in await shown("/inbox?tab=all")
    clock.forward(minutes=50)
    await drain(story.line)
    text = await shown(f"/inbox/{conversation.id}?tab=all")
    assert "At risk: Answer within 10m" in text
    assert "First answer: 80% of the promised time are over, due 13 Apr 2026, 10:00:00" in text
    assert "told:" in text
    clock.forward(minutes=15)
    page.cookie = f"{COOKIE}={await open_session(story.line, office.boss)}"
    await drain(story.line)
    text = await shown(f"/inbox/{conversation.id}?tab=all")
    assert "Answer late 5m" in text
    assert "First answer: the promised time is over since 13 Apr 2026, 10:00:00" in text

    for query in ("", "?state=broken", "?state=running&measure=resolution"):
        status, text = await page.get(f"/reports/promises{query}")
        assert status == 200
        assert "Lyes" in text
    assert (await page.get("/reports/promises?state=lost"))[0] == 400

    status, text = await page.get("/notices")
    assert status == 200
    assert "Nothing to look at" not in text
    found = [notice for notice in await story.rows(Notice) if notice.agent_id == office.boss.id]
    assert [notice.kind for notice in found] == ["sla_warning", "sla_breached"]
    answer = await page.ask("POST", f"/notices/{found[0].id}", data={"csrf_token": "x"})
    assert answer.status == 403
    status, _ = await page.post(f"/notices/{found[0].id}")
    assert [n.seen_at is None for n in await story.rows(Notice) if n.agent_id == office.boss.id] == [False, True]
    await page.post("/notices/seen")
    assert all(n.seen_at for n in await story.rows(Notice) if n.agent_id == office.boss.id)


async def test_a_conversation_waits_and_goes_on_from_its_page(office: Office) -> None:
    story, page = office.story, office.desk
    await story.customer_writes("Bonjour, quels sont vos horaires ?")
    number = (await story.conversation()).id
    status, text = await page.post(f"/inbox/{number}/hold/third_party")
    assert status == 200
    assert "It waits for somebody outside" in text
    await drain(story.line)
    assert {row.status for row in await story.rows(Sla)} == {"paused"}
    assert "Clock stands still" in (await page.get(f"/inbox/{number}"))[1]
    status, text = await page.post(f"/inbox/{number}/go-on")
    assert "It goes on" in text
    await drain(story.line)
    assert {row.status for row in await story.rows(Sla)} == {"running"}
    kinds = [event.kind for event in await story.rows(ConversationEvent)]
    assert (kinds.count("paused"), kinds.count("resumed")) == (1, 1)


@on_one_database
async def test_the_ladder_mails_those_who_should_know_and_tries_again(line: Line, tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with smtp_server(has_auth=False, RCPT="450 later") as server:
        mail = {"host": HOST, "port": server.port, "security": "none", "sender": "crm@shop.example"}
        story = await Story.begin(line_with(line, clock, mail=mail))
        async with desk(story.line) as page:
            await page.sign_in("supervisor")
            steps = {"rung-0-percent": "100", "rung-0-tell": "email", "rung-0-to": "a@shop.example, b@shop.example"}
            form = {"name": "Mail", "target-first_response": "10", **steps}
            await page.get("/automation/sla")
            await page.post("/automation/sla/new", form)
            made = (await story.rows(SlaPolicy))[-1]
            for _ in range(3):
                await page.post(f"/automation/sla/{made.id}/up")
        await story.customer_writes("Bonjour, quels sont vos horaires ?")
        clock.forward(minutes=11)
        await drain(story.line)
        await mail_escalations(story.line)
        assert server.mails == []
        assert all(row.error and row.due_at for row in await story.rows(Escalation))
        server.answers = {}
        await mail_escalations(story.line)
        assert server.mails == [], "not before its time"
        clock.forward(minutes=2)
        await mail_escalations(story.line)
        await mail_escalations(story.line)
    assert len(server.mails) == 2
    assert [row.sent_at == clock.at for row in await story.rows(Escalation)] == [True, True]
    assert timedelta() < clock.at - MONDAY
