"""Suggested answers above the composer, and why a message was understood as it was."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from socialcrm.domain.rows import Conversation, Dismissal, Message
from socialcrm.engine.analyze import analyze
from socialcrm.engine.answer import reply
from socialcrm.engine.learn import learn
from socialcrm.engine.line import Line
from tests.web.browser import Browser, Site, incoming, site

TOP_UP = "comment recharger mon crédit ?"
_TEXT = re.compile(r'class="suggestion-text"[^>]*>([^<]*)<')
_SOURCE = re.compile(r'name="source" value="([^"]*)"')


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


def texts(page: str) -> list[str]:
    return [unescape(text) for text in _TEXT.findall(page)]


def path(conversation: Conversation, rest: str = "") -> str:
    return f"/conversations/{conversation.id}/suggestions{rest}"


async def understood(here: Site, *words: str) -> list[Message]:
    """A conversation with these messages, analysed."""
    conversation = await here.conversation(*words)
    async with here.line.database.write() as session:
        await session.execute(
            update(Message).where(col(Message.conversation_id) == conversation.id).values(step="analyze")
        )
    await analyze(here.line)
    async with here.line.database.read() as session:
        query = select(Message).where(col(Message.conversation_id) == conversation.id).order_by(col(Message.id))
        return list((await session.execute(query)).scalars())


async def why(browser: Browser, message: Message, field: str) -> dict[str, Any]:
    answer = await browser.client.get(f"/messages/{message.id}/why?field={field}")
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def test_the_answer_of_the_faq_is_offered_for_the_question_and_nothing_for_small_talk(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    asked, chatted = await here.conversation(TOP_UP), await here.conversation("hahaha")
    first, *rest = texts(await browser.text(path(asked)))
    assert "carte à gratter" in first
    assert len(rest) < 3
    assert (await browser.text(path(chatted))).strip() == ""


async def test_the_page_of_a_conversation_names_where_suggestions_are_and_does_not_wait_for_them(here: Site) -> None:
    asked = await here.conversation(TOP_UP)
    page = await (await here.signed_in(await here.agent())).text(f"/inbox/{asked.id}")
    assert f'<answer-suggestions data-url="{path(asked)}"></answer-suggestions>' in page
    analyst = await here.signed_in(await here.agent("Rayan", role="analyst"))
    assert "answer-suggestions" not in await analyst.text(f"/inbox/{asked.id}")


async def test_an_earlier_answer_comes_with_its_date_and_blanks_in_the_agents_language(here: Site) -> None:
    amina = await here.agent("Amina", locale="fr")
    earlier = await here.conversation("mon décodeur affiche erreur 47 sur toutes les chaînes", name="Karim")
    line, now = here.line, here.line.now()
    async with line.database.write() as session:
        conversation = await session.get_one(Conversation, earlier.id)
        told = await reply(session, line, conversation, "Bonjour Karim, appelez le 0550 12 34 56 s.v.p.", amina, "k")
        told.delivery, told.sent_at = "sent", now - timedelta(days=400)
    await learn(line)
    again = await here.conversation("bonjour le décodeur affiche erreur 47 sur toutes les chaînes")
    page = await (await here.signed_in(amina)).text(path(again))
    assert texts(page)[0] == "Bonjour [nom], appelez le [numéro de téléphone] s.v.p."
    assert f"Répondu le {(now - timedelta(days=400)).day} " in unescape(page)


async def test_what_is_waved_away_stays_away_for_everybody(here: Site) -> None:
    amina = await here.agent("Amina")
    browser, colleague = await here.signed_in(amina), await here.signed_in(await here.agent("Yacine"))
    asked = await here.conversation(TOP_UP)
    page = await browser.text(path(asked))
    [source, *_] = _SOURCE.findall(page)
    left = await browser.post(path(asked, "/dismiss"), {"source": source})
    assert left.status == 200
    assert texts(page)[0] not in texts(await left.text())
    assert texts(page)[0] not in texts(await colleague.text(path(asked)))
    async with here.line.database.read() as session:
        [row] = (await session.execute(select(Dismissal))).scalars()
    assert (row.conversation_id, row.source, row.agent_id) == (asked.id, source, amina.id)
    assert (await browser.post(path(asked, "/dismiss"), {"source": "faq"})).status == 400
    assert (await browser.post(path(asked, "/dismiss"), {"source": "answer:" + "9" * 30})).status == 400


async def test_suggestions_are_for_those_who_answer(here: Site) -> None:
    asked = await here.conversation(TOP_UP)
    for role, status in (("agent", 200), ("supervisor", 200), ("admin", 200), ("analyst", 403)):
        browser = await here.signed_in(await here.agent(role.title(), role=role))
        assert (await browser.get(path(asked))).status == status, role
        assert (await browser.post(path(asked, "/dismiss"), {"source": "faq:x"})).status == status, role
    assert (await here.browser().client.get(path(asked), headers={"Accept": "*/*"}, allow_redirects=False)).status in (
        303,
        401,
    )
    agent = await here.signed_in(await here.agent("Amina"))
    assert (await agent.get("/conversations/999999/suggestions")).status == 404
    assert (await agent.post("/conversations/999999/suggestions/dismiss", {"source": "faq:x"})).status == 404


async def test_a_customers_markup_in_an_answer_is_shown_as_text(here: Site) -> None:
    amina = await here.agent("Amina")
    earlier = await here.conversation("le décodeur affiche une erreur bizarre sur toutes les chaînes")
    async with here.line.database.write() as session:
        conversation = await session.get_one(Conversation, earlier.id)
        told = await reply(session, here.line, conversation, '<b onclick="x">tapez 1 < 2</b> puis ok', amina, "k")
        told.delivery = "sent"
    await learn(here.line)
    again = await here.conversation("le décodeur affiche une erreur bizarre sur toutes les chaînes")
    page = await (await here.signed_in(amina)).text(path(again))
    assert "<b onclick" not in page
    assert "&lt;b onclick" in page


async def test_the_words_that_weighed_most_are_named_by_their_places(here: Site) -> None:
    [message] = await understood(here, "😀 bonjour\r\nvotre service est nul, c'est une honte")
    found = await why(await here.signed_in(await here.agent("Rayan", role="analyst")), message, "sentiment")
    assert found["label"] == "negative"
    assert found["words"]
    shown = message.text.replace("\r\n", "\n").encode("utf-16-le")  # as a browser counts
    for word in found["words"]:
        assert shown[2 * word["start"] : 2 * word["end"]].decode("utf-16-le") == word["text"]
        assert 0 < word["weight"] <= 1
    weights = [word["weight"] for word in found["words"]]
    assert weights == sorted(weights, reverse=True)
    assert {word["text"].strip(",") for word in found["words"]} & {"nul", "honte"}


async def test_a_label_that_people_changed_has_no_words(here: Site) -> None:
    [message] = await understood(here, "votre service est nul, c'est une honte")
    from socialcrm.domain.rows import Analysis

    async with here.line.database.write() as session:
        await session.execute(update(Analysis).values(sentiment="positive"))
    browser = await here.signed_in(await here.agent())
    assert (await why(browser, message, "sentiment"))["words"] == []
    assert (await why(browser, message, "language"))["label"] == "fr"


async def test_why_asks_for_a_field_and_a_message_of_a_customer(here: Site) -> None:
    [message] = await understood(here, "bonjour")
    browser = await here.signed_in(await here.agent())
    assert (await browser.get(f"/messages/{message.id}/why?field=text")).status == 400
    assert (await browser.get(f"/messages/{message.id}/why")).status == 400
    assert (await browser.get("/messages/999999/why?field=sentiment")).status == 404
    async with here.line.database.write() as session:
        conversation = await session.get_one(Conversation, message.conversation_id)
        session.add(incoming(conversation, "pas encore lu", here.line.now()))
        await session.flush()
    assert (await browser.get(f"/messages/{(message.id or 0) + 1}/why?field=sentiment")).status == 404


async def test_the_model_is_asked_once_for_a_text_and_a_field(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import socialcrm.web.why as module

    real, asked = module.why, []

    def counting(pipeline: Any, text: str, field: Any) -> Any:
        asked.append((text, field))
        return real(pipeline, text, field)

    monkeypatch.setattr(module, "why", counting)
    first, second = await understood(here, "votre service est nul", "votre service est nul")
    browser = await here.signed_in(await here.agent())
    answers = [await why(browser, message, "sentiment") for message in (first, second, first)]
    assert answers[0] == answers[1] == answers[2]
    await why(browser, first, "complaint")
    assert [field for _, field in asked] == ["sentiment", "complaint"]
