"""Teaching on the screens: correcting in the inbox, the blind sample, the page about understanding."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Agent, Analysis, Conversation, Correction, Message, ModelVersion, SampleItem
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.test_train import TALK
from tests.story import Story
from tests.teaching import Archive
from tests.web.browser import Browser, Site, incoming, site

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
_CHECKED = re.compile(r'name="(\w+)" value="([\w-]+)" checked')


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


async def read(here: Site, text: str, agent: Agent | None = None) -> tuple[Conversation, Message]:
    """A conversation with one message that the line has read."""
    conversation = await here.conversation(text, agent=agent)
    async with here.line.database.write() as session:
        query = select(Message).where(col(Message.conversation_id) == conversation.id)
        message = (await session.execute(query)).scalar_one()
        message.step = "analyze"
    await drain(here.line)
    return conversation, message


async def analysis(here: Site, message: Message) -> Analysis:
    async with here.line.database.read() as session:
        return await session.get_one(Analysis, message.id)


async def corrections(here: Site) -> dict[str, Correction]:
    async with here.line.database.read() as session:
        return {row.field: row for row in (await session.execute(select(Correction))).scalars()}


def address(message: Message, deed: str = "") -> str:
    return f"/inbox/{message.conversation_id}/messages/{message.id}/analysis{'/' if deed else ''}{deed}"


async def test_the_choices_come_with_what_is_shown_preselected(here: Site) -> None:
    agent = await here.agent()
    conversation, message = await read(here, "la connexion ta3kom mayta", agent)
    browser = await here.signed_in(agent)
    assert f'href="{address(message)}' in await browser.text(f"/inbox/{conversation.id}")
    form = await browser.text(address(message), **HTMX)
    found = await analysis(here, message)
    checked = dict(_CHECKED.findall(form))
    assert checked["sentiment"] == found.sentiment
    assert checked["complaint"] == ("complaint" if found.is_complaint else "other")
    assert set(checked) == {"language", "sentiment", "complaint", "intent", "reason"}
    assert "<html" not in form
    assert "<html" in await browser.text(address(message)), "without scripts it is a page"


async def test_saving_keeps_what_was_changed_and_shows_who_changed_it(here: Site) -> None:
    agent = await here.agent("Amina")
    conversation, message = await read(here, "la connexion ta3kom mayta", agent)
    browser = await here.signed_in(agent)
    before = dict(_CHECKED.findall(await browser.text(address(message), **HTMX)))
    label = "positive" if before["sentiment"] != "positive" else "negative"
    answer = await browser.post(address(message, "save"), {**before, "sentiment": label}, **HTMX)
    assert answer.status == 200
    assert "corrected by \u2068Amina" in await answer.text()
    assert set(await corrections(here)) == {"sentiment"}, "nobody vouches for what was preselected"
    assert (await analysis(here, message)).sentiment == label
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "corrected by \u2068Amina" in page
    assert f'id="undo-{message.id}"' in page
    assert "corrected by \u2068Amina" in await browser.text(address(message), **HTMX)
    assert (await browser.post(address(message, "undo"), **HTMX)).status == 200
    assert await corrections(here) == {}
    assert "corrected by" not in await browser.text(f"/inbox/{conversation.id}")


async def test_one_press_says_that_all_of_it_is_right(here: Site) -> None:
    agent = await here.agent("Amina")
    conversation, message = await read(here, "merci beaucoup", agent)
    browser = await here.signed_in(agent)
    answer = await browser.post(address(message, "confirm"))
    assert (answer.status, answer.headers["Location"]) == (
        303,
        f"/inbox/{conversation.id}?tab=mine&status=open&q=&sort=",
    )
    found = await corrections(here)
    assert set(found) >= {"language", "sentiment", "complaint", "intent"}
    assert all(row.is_right for row in found.values())
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "confirmed by \u2068Amina" in page
    assert f'id="confirm-{message.id}"' not in page


async def test_a_corrected_message_counts_as_corrected_in_reports(here: Site) -> None:
    agent, chief = await here.agent("Amina"), await here.agent("Nadia", role="supervisor")
    _, message = await read(here, "la connexion ta3kom mayta", agent)
    await (await here.signed_in(agent)).post(address(message, "save"), {"complaint": "other", "sentiment": "positive"})
    found = await analysis(here, message)
    assert not {"complaint", "sentiment"} & set(found.unsure)
    browser = await here.signed_in(chief)
    assert "mayta" in await browser.text("/reports/messages?sentiment=positive&complaint=no")
    assert "mayta" not in await browser.text("/reports/messages?complaint=yes")


async def test_only_people_who_answer_may_correct(here: Site) -> None:
    agent, analyst = await here.agent("Amina"), await here.agent("Tarek", role="analyst")
    conversation, message = await read(here, "salam", agent)
    browser = await here.signed_in(analyst)
    assert "data-teach" not in await browser.text(f"/inbox/{conversation.id}")
    assert (await browser.get(address(message))).status == 403
    for deed in ("save", "confirm", "undo"):
        assert (await browser.post(address(message, deed), {"intent": "spam"})).status == 403
    assert await corrections(here) == {}


async def test_what_cannot_be_corrected_is_said_in_a_sentence(here: Site) -> None:
    agent = await here.agent("Amina", locale="fr")
    _, message = await read(here, "salam", agent)
    other = await here.conversation("b", agent=agent)
    browser = await here.signed_in(agent)
    answer = await browser.post(address(message, "save"), {"intent": "wish"}, **HTMX)
    assert (answer.status, await answer.text()) == (
        422,
        "Cette étiquette n'existe pas : choisissez-en une parmi celles proposées.",
    )
    assert (await browser.get(f"/inbox/{other.id}/messages/{message.id}/analysis")).status == 404
    assert (await browser.post(f"/inbox/{other.id}/messages/{message.id}/analysis/confirm")).status == 404
    async with here.line.database.write() as session:
        waiting = incoming(other, "not read yet", here.line.now())
        waiting.step = "analyze"
        session.add(waiting)
    assert (await browser.get(address(waiting))).status == 404
    assert (await browser.post(address(waiting, "confirm"), **HTMX)).status == 422


async def sampled(here: Site, count: int = 2) -> None:
    """Messages of last week, drawn."""
    async with here.line.database.write() as session:
        made = Archive(session, here.line.now() - timedelta(days=7))
        await made.messages(count, text="وقتاش ترجع الفيبر", language="ar", model="secret-model")
    browser = await here.signed_in(await here.agent("Drawer", role="supervisor"))
    assert "No sample is drawn yet" in await browser.text("/understanding/sample")
    assert (await browser.post("/understanding/sample/draw")).status == 303


def form_of(page: str) -> tuple[str, str]:
    """Where the question's form goes, and the field that it asks for."""
    action = re.search(r'action="(/understanding/sample/\d+)"', page)
    field = re.search(r'name="field" value="(\w+)"', page)
    assert action
    assert field
    return action[1], field[1]


async def test_the_sample_is_judged_without_seeing_what_the_model_said(here: Site) -> None:
    await sampled(here)
    browser = await here.signed_in(await here.agent("Nadia", role="supervisor"))
    page = await browser.text("/understanding/sample")
    assert "وقتاش ترجع الفيبر" in page
    for hidden in ("secret-model", "90%", "checked", "/inbox/1", "autofocus"):
        assert hidden not in page.split('id="sample"')[1]
    asked = []
    for label in ("arq-Arab", "neutral", "other", "question"):
        action, field = form_of(page)
        asked.append(field)
        answer = await browser.post(action, {"field": field, "label": label}, **HTMX)
        page = await answer.text()
        assert answer.status == 200
        assert "<html" not in page
    assert asked == ["language", "sentiment", "complaint", "intent"]
    assert "1 of 2 messages" in page
    answer = await browser.post(form_of(page)[0], {"skip": "yes"}, **HTMX)
    page = await answer.text()
    assert "The sample is judged" in page
    assert "2 of 2 messages" in page
    answer = await browser.post("/understanding/sample/undo", {"week": (await items(here))[0].week}, **HTMX)
    assert form_of(await answer.text())[1] == "language"
    answer = await browser.post("/understanding/sample/undo", {"week": (await items(here))[0].week}, **HTMX)
    assert form_of(await answer.text())[1] == "intent", "and then the answer before it"


async def items(here: Site) -> list[SampleItem]:
    async with here.line.database.read() as session:
        return list((await session.execute(select(SampleItem).order_by(col(SampleItem.place)))).scalars())


async def test_a_sample_that_is_asked_for_wrongly_changes_nothing(here: Site) -> None:
    await sampled(here, 1)
    nadia = await here.signed_in(await here.agent("Nadia", role="supervisor"))
    action, _ = form_of(await nadia.text("/understanding/sample"))
    assert (await nadia.post(action, {"field": "intent", "label": "wish"}, **HTMX)).status == 422
    assert (await nadia.post(action, {}, **HTMX)).status == 422
    assert (await nadia.post("/understanding/sample/999", {"skip": "yes"}, **HTMX)).status == 404
    assert (await nadia.post("/understanding/sample/undo", {"week": "2026-W99"}, **HTMX)).status == 409
    agent = await here.signed_in(await here.agent("Amina"))
    assert (await agent.get("/understanding/sample")).status == 403
    assert (await agent.post(action, {"skip": "yes"})).status == 403
    assert (await items(here))[0].skipped_at is None


async def test_the_page_says_that_there_is_nothing_yet(here: Site) -> None:
    browser = await here.signed_in(await here.agent("Nadia", role="supervisor"))
    page = await browser.text("/understanding")
    for sentence in (
        "too few: 0 of 20",
        "Nobody has judged a message in this period.",
        "Too few messages to compare: 200 are needed",
        "50 more corrections are needed.",
        "The shipped model is in use.",
        "An admin can train the model.",
    ):
        assert sentence in page
    assert (await browser.get("/understanding?days=7")).status == 400
    assert (await browser.get("/understanding?by=mood")).status == 400
    assert (await browser.post("/understanding/train")).status == 403
    agent = await here.signed_in(await here.agent("Amina"))
    assert (await agent.get("/understanding")).status == 403
    assert "/understanding" not in await agent.text("/inbox")


async def test_the_page_shows_accuracy_with_its_interval_and_the_inbox_apart(here: Site) -> None:
    async with here.line.database.write() as session:
        made = Archive(session, here.line.now())
        numbers = await made.messages(40, channel="The page")
        await made.say(numbers[:30], "intent", "other", "other")
        await made.say(numbers[30:], "intent", "other", "spam")
    browser = await here.signed_in(await here.agent("Nadia", role="supervisor"))
    page = " ".join((await browser.text("/understanding?by=channel")).split())
    assert "75%" in page
    assert "60% to 86% · n 40" in page
    assert "The page" in page
    assert "use the pencil under a message" in page, "the inbox has said nothing"
    labels = " ".join((await browser.text("/understanding?by=label")).split())
    assert "Right when said" in labels
    assert "too few" in labels, "ten adverts are too few to say how many are found"


async def test_a_shift_is_an_alarm_on_the_page(here: Site) -> None:
    now = here.line.now()
    async with here.line.database.write() as session:
        made = Archive(session, now)
        await made.messages(400, at=now - timedelta(days=15))
        await made.messages(300, at=now - timedelta(days=3), is_complaint=True)
    browser = await here.signed_in(await here.agent("Nadia", role="supervisor"))
    page = " ".join((await browser.text("/understanding")).split())
    assert "A real event, or the model?" in page
    assert "All messages, Complaint: “Complaint” went from 0% to 100%." in page
    assert "probably a real event" in page


async def taught(here: Site, line: Line) -> None:
    story = await Story.begin(line)
    await story.platform_says(
        [{"id": str(n), "author": "lyes", "text": text, "kind": "direct_message"} for n, text in enumerate(TALK)]
    )
    async with line.database.write() as session:
        found = (await session.execute(select(Analysis))).scalars()
        predicted = {row.message_id: row.intent for row in found}
        made = Archive(session, line.now())
        for number, label in predicted.items():
            await made.say([number], "intent", label, "spam")


async def settled(browser: Browser) -> str:
    """The training's part of the page, once it has ended."""
    for _ in range(600):
        page = await browser.text("/understanding/training", **HTMX)
        if "every 1s" not in page:
            return " ".join(page.split())
        await asyncio.sleep(0.1)
    raise AssertionError("the training does not end")


async def test_an_admin_trains_and_rolls_back_from_the_page(here: Site, line: Line) -> None:
    await taught(here, line)
    browser = await here.signed_in(await here.agent("Nadia", role="admin"))
    assert f"{len(TALK)} corrections are there." in " ".join((await browser.text("/understanding")).split())
    assert (await browser.post("/understanding/train")).headers["Location"] == "/understanding#model"
    said = await settled(browser)
    assert "Version 1 is in use now." in said
    assert re.search(r"It learned from \d+ corrections\. Of \d+ others that it had not seen, it is right at \d+", said)
    assert "Nadia" in said, "the version is listed as soon as it is there"
    assert "The shipped model is in use." not in said
    assert (await browser.post("/understanding/rollback")).status == 303
    page = await browser.text("/understanding?done=rolled-back")
    assert "Rolled back." in page
    assert "The shipped model is in use." in page
    assert "Version 1 is in use now." not in page
    assert (await browser.post("/understanding/rollback")).status == 409
    async with line.database.read() as session:
        assert [row.status for row in (await session.execute(select(ModelVersion))).scalars()] == ["retired"]


async def test_a_training_without_corrections_says_what_is_missing(here: Site) -> None:
    browser = await here.signed_in(await here.agent("Nadia", role="admin", locale="fr"))
    assert (await browser.post("/understanding/train")).status == 303
    assert "Il manque 50 corrections : il y en a 0 sur 50." in await settled(browser)
