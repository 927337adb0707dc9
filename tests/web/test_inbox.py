"""The inbox: the queue's tabs and pages, the thread, and what an agent does in it."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlmodel import col, select

from socialcrm.domain.rows import Conversation, Message, OutboxItem
from socialcrm.engine.line import Line
from tests.web.browser import Browser, Site, incoming, site

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
_ROW = re.compile(r'id="row-(\d+)"')
_MORE = re.compile(r'hx-get="([^"]+before=[^"]+)"')


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


def rows(page: str) -> list[int]:
    return [int(number) for number in _ROW.findall(page)]


def more(page: str) -> str | None:
    found = _MORE.search(page)
    return found[1].replace("&amp;", "&") if found else None


async def outgoing(here: Site, conversation: Conversation) -> list[Message]:
    query = select(Message).where(col(Message.conversation_id) == conversation.id, col(Message.direction) != "in")
    async with here.line.database.read() as session:
        return list((await session.execute(query.order_by(col(Message.id)))).scalars())


async def now_of(here: Site, conversation: Conversation) -> Conversation:
    async with here.line.database.read() as session:
        return await session.get_one(Conversation, conversation.id)


async def answer(browser: Browser, conversation: Conversation, text: str, key: str, **fields: str) -> int:
    reply = await browser.post(f"/inbox/{conversation.id}/answer", {"text": text, "key": key, **fields})
    return reply.status


async def test_tabs_and_statuses_show_and_count_their_conversations(here: Site) -> None:
    agent, other = await here.agent("Amina"), await here.agent("Yacine")
    mine = await here.conversation("a", agent=agent)
    theirs = await here.conversation("b", agent=other)
    free = await here.conversation("c")
    done = await here.conversation("d", agent=agent, status="resolved")
    browser = await here.signed_in(agent)
    assert rows(await browser.text("/inbox")) == [mine.id]
    assert rows(await browser.text("/inbox?tab=unassigned")) == [free.id]
    page = await browser.text("/inbox?tab=all")
    assert rows(page) == [free.id, theirs.id, mine.id]
    assert re.findall(r'class="count">(\d+)<', page) == ["1", "1", "3"]
    assert rows(await browser.text("/inbox?status=resolved")) == [done.id]
    assert rows(await browser.text("/inbox?tab=<b>&status=%00")) == [mine.id]


async def test_an_empty_queue_says_so_in_friendly_words(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    assert "You are all caught up" in await browser.text("/inbox")
    assert "Everything has an owner" in await browser.text("/inbox?tab=unassigned")
    assert "Nothing found" in await browser.text("/inbox?q=nobody")


async def test_pages_of_the_queue_hold_every_row_once_while_new_ones_arrive(here: Site) -> None:
    start = here.line.now() - timedelta(hours=1)
    # Pairs share a time, so the number has to decide between them.
    made = [await here.conversation("x", at=start - timedelta(minutes=n // 2)) for n in range(65)]
    browser = await here.signed_in(await here.agent())
    page = await browser.text("/inbox?tab=all")
    seen = rows(page)
    assert len(seen) == 30
    await here.conversation("new at the top")
    while following := more(page):
        page = await browser.text(following, **HTMX)
        seen += rows(page)
    assert len(seen) == len(set(seen))
    assert set(seen) == {conversation.id for conversation in made}


@pytest.mark.parametrize("key", ["nonsense", "2026-01-01T00:00:00,1", "2026-01-01T00:00:00+00:00,x", ",", "9" * 400])
async def test_a_broken_paging_key_shows_the_first_page(here: Site, key: str) -> None:
    conversation = await here.conversation("x")
    browser = await here.signed_in(await here.agent())
    assert rows(await browser.text(f"/inbox/queue?tab=all&before={key.replace('+', '%2B')}", **HTMX)) == [
        conversation.id
    ]


async def test_search_finds_names_texts_and_nothing_by_wildcards(here: Site) -> None:
    first = await here.conversation("le routeur clignote", name="Élodie")
    second = await here.conversation("100% satisfait", name="نور الهدى", status="resolved")
    browser = await here.signed_in(await here.agent())
    assert rows(await browser.text("/inbox?q=routeur")) == [first.id]
    assert rows(await browser.text("/inbox?q=نور")) == [second.id]
    assert rows(await browser.text("/inbox?q=100%25")) == [second.id]
    assert rows(await browser.text("/inbox?q=_______")) == []


async def test_whatever_customers_write_is_shown_as_text(here: Site) -> None:
    nasty = "<script>alert(1)</script> \u202eevil\u202c <img src=x onerror=alert(2)> {{ 7*7 }} &amp; %s %(name)s"
    conversation = await here.conversation(nasty, "x" * 10_000, name='"><b>Zoé</b>')
    browser = await here.signed_in(await here.agent())
    for page in (
        await browser.text(f"/inbox/{conversation.id}?tab=all"),
        await browser.text(f"/inbox/{conversation.id}/live", **HTMX),
    ):
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>Zoé" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; \u202eevil" in page
        assert "{{ 7*7 }} &amp;amp; %s %(name)s" in page
        assert "x" * 10_000 in page
        assert re.search(r'<p class="message-text[^>]*dir="auto">&lt;script', page)


async def test_a_reply_is_written_once_for_a_key_however_often_it_is_sent(here: Site) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    token = await browser.token()
    form = {"csrf_token": token, "text": "Bonjour", "key": "key-1"}
    path = f"/inbox/{conversation.id}/answer"
    sent = [browser.client.post(path, data=form, allow_redirects=False) for _ in range(4)]
    assert [reply.status for reply in await asyncio.gather(*sent)] == [303] * 4
    assert [message.text for message in await outgoing(here, conversation)] == ["Bonjour"]
    async with here.line.database.read() as session:
        assert len((await session.execute(select(OutboxItem))).scalars().all()) == 1
    assert await answer(browser, conversation, "Encore", "key-2") == 303
    assert [message.text for message in await outgoing(here, conversation)] == ["Bonjour", "Encore"]
    after = await now_of(here, conversation)
    assert (after.unread_count, after.waiting_since_at, after.preview) == (0, None, "Encore")


async def test_an_htmx_reply_brings_back_the_thread_and_a_composer_with_a_new_key(here: Site) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    reply = await browser.post(f"/inbox/{conversation.id}/answer", {"text": "Bonjour", "key": "first"}, **HTMX)
    text = await reply.text()
    assert reply.status == 200
    assert "Bonjour" in text
    keys = re.findall(r'name="key" value="([^"]+)"', text)
    assert len(keys) == 1
    assert keys != ["first"]


async def test_a_note_stays_inside_and_send_and_resolve_does_both(here: Site) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    assert await answer(browser, conversation, "fidèle depuis 2014", "n1", mode="note") == 303
    assert await answer(browser, conversation, "Réglé !", "r1", mode="reply", then="resolve") == 303
    written = await outgoing(here, conversation)
    assert [(message.direction, message.delivery) for message in written] == [("note", "none"), ("out", "waiting")]
    assert (await now_of(here, conversation)).status == "resolved"
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "private note" in page
    assert "Reopen" in page


@pytest.mark.parametrize(
    ("text", "key", "status"), [("", "k", 422), (" \n", "k", 422), ("\x00", "k", 422), ("x", "", 400)]
)
async def test_an_answer_without_text_or_key_is_refused(here: Site, text: str, key: str, status: int) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    assert await answer(browser, conversation, text, key) == status
    assert await outgoing(here, conversation) == []


async def test_a_text_longer_than_the_channel_takes_is_refused_with_both_numbers(here: Site) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    limit = (await here.line.channels.connector(conversation.channel_id)).limits.text_length
    form = {"text": "é" * (limit + 1), "key": "k"}
    reply = await browser.post(f"/inbox/{conversation.id}/answer", form, **HTMX)
    assert reply.status == 422
    assert await reply.text() == f"This channel takes {limit} characters; the text has {limit + 1}. Shorten it by 1."


async def test_only_one_of_two_agents_takes_a_conversation(here: Site) -> None:
    conversation = await here.conversation("hello")
    browsers = [await here.signed_in(await here.agent(name)) for name in ("Amina", "Yacine")]
    replies = await asyncio.gather(*(b.post(f"/inbox/{conversation.id}/take", **HTMX) for b in browsers))
    assert sorted(reply.status for reply in replies) == [200, 409]
    winner = browsers[[reply.status for reply in replies].index(200)]
    assert (await winner.post(f"/inbox/{conversation.id}/take", **HTMX)).status == 200


async def test_assigning_resolving_and_reopening_show_in_the_thread(here: Site) -> None:
    amina, yacine = await here.agent("Amina"), await here.agent("Yacine")
    analyst = await here.agent("Rayan", role="analyst")
    conversation = await here.conversation("hello")
    browser = await here.signed_in(amina)
    path = f"/inbox/{conversation.id}"
    assert (await browser.post(f"{path}/assign", {"agent_id": str(yacine.id)})).status == 303
    for wanted in (str(analyst.id), "999999", "x", "9" * 30):
        assert (await browser.post(f"{path}/assign", {"agent_id": wanted})).status == 422, wanted
    assert (await browser.post(f"{path}/resolve")).status == 303
    assert (await browser.post(f"{path}/reopen")).status == 303
    assert (await browser.post(f"{path}/assign", {"agent_id": ""})).status == 303
    page = await browser.text(path)
    for sentence in (
        "Amina assigned it to Yacine",
        "Amina resolved it",
        "Amina reopened it",
        "Amina assigned it to nobody",
    ):
        assert sentence in page, sentence


async def test_a_conversation_with_a_newer_one_in_its_thread_cannot_be_reopened(here: Site) -> None:
    old = await here.conversation("hello", status="resolved")
    async with here.line.database.write() as session:
        fields = old.model_dump(exclude={"id"})
        session.add(Conversation(**{**fields, "status": "open"}))
    browser = await here.signed_in(await here.agent())
    assert (await browser.post(f"/inbox/{old.id}/reopen")).status == 409


async def test_a_failed_message_shows_the_platforms_words_and_can_be_sent_again(here: Site) -> None:
    conversation = await here.conversation("hello")
    browser = await here.signed_in(await here.agent())
    await answer(browser, conversation, "Bonjour", "k")
    (message,) = await outgoing(here, conversation)
    path = f"/inbox/{conversation.id}/messages/{message.id}"
    assert (await browser.post(f"{path}/retry", **HTMX)).status == 409
    async with here.line.database.write() as session:
        row = await session.get_one(Message, message.id)
        item = (await session.execute(select(OutboxItem))).scalar_one()
        row.delivery, row.delivery_error, item.status = "unknown", "(#100) 50% <blocked>", "unknown"
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "(#100) 50% &lt;blocked&gt;" in page
    assert "Send again" in page
    assert "It arrived" in page
    assert (await browser.post(f"{path}/sent", **HTMX)).status == 200
    assert (await outgoing(here, conversation))[0].delivery == "sent"
    other = await here.conversation("other")
    assert (await browser.post(f"/inbox/{other.id}/messages/{message.id}/retry", **HTMX)).status == 404


async def test_older_messages_come_page_by_page_and_a_refresh_brings_what_is_shown(here: Site) -> None:
    conversation = await here.conversation(*(f"text {n}." for n in range(120)))
    browser = await here.signed_in(await here.agent())
    page = await browser.text(f"/inbox/{conversation.id}")
    shown: list[str] = []
    while True:
        shown = re.findall(r"text \d+\.", re.sub(r'class="queue-preview.*', "", page)) + shown
        older = re.search(r'hx-get="([^"]+/older[^"]+)"', page)
        if not older:
            break
        page = await browser.text(older[1].replace("&amp;", "&"), **HTMX)
    assert shown == [f"text {n}." for n in range(120)]
    async with here.line.database.write() as session:
        numbers = (await session.execute(select(Message.id).order_by(col(Message.id)))).scalars().all()
        session.add(incoming(conversation, "text 120.", conversation.opened_at + timedelta(seconds=120)))
    refreshed = await browser.text(f"/inbox/{conversation.id}/live?from={numbers[40]}", **HTMX)
    assert re.findall(r"text \d+\.", refreshed) == [f"text {n}." for n in range(40, 121)]
    assert "/older" in refreshed


async def test_looking_at_a_conversation_marks_it_read_by_a_post_only(here: Site) -> None:
    conversation = await here.conversation("a", "b")
    browser = await here.signed_in(await here.agent())
    await browser.text(f"/inbox/{conversation.id}")
    assert (await now_of(here, conversation)).unread_count == 2
    assert (await browser.post(f"/inbox/{conversation.id}/seen")).status == 204
    assert (await now_of(here, conversation)).unread_count == 0
    cursor = await here.line.live.cursor()
    assert (await browser.post(f"/inbox/{conversation.id}/seen")).status == 204
    assert await here.line.live.cursor() == cursor
