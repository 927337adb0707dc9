"""What people talk about, as a page, a section and a file; and files that mask personal data."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from socialcrm.domain.rows import Contact, Conversation, Message
from socialcrm.engine.line import Line
from socialcrm.reports.export import BOM
from tests.web.desk import Desk, desk

PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
TEXTS = [
    "Toujours pas de fibre optique à Oran depuis hier soir, appelez-moi au 0550 12 34 56",
    "la fibre optique est coupée chez moi, <b>rien</b> ne marche",
    "c'est quand que la fibre optique revient ? karim@example.com",
    "Panne de fibre optique dans tout le quartier !",
]


@pytest.fixture
async def analyst(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as analyst:
        await analyst.sign_in("analyst")
        yield analyst


async def written(analyst: Desk) -> Conversation:
    """A conversation of a minute ago with all the texts."""
    channel = await analyst.channel()
    now = analyst.line.now() - timedelta(minutes=1)
    async with analyst.line.database.write() as session:
        contact = Contact(name="Karim Benali", created_at=now)
        session.add(contact)
        await session.flush()
        same = {"channel_id": channel.id or 0, "contact_id": contact.id or 0, "kind": "direct_message"}
        conversation = Conversation(thread_key="t", opened_at=now, last_message_at=now, **same)
        session.add(conversation)
        await session.flush()
        for text in TEXTS:
            sent = {"conversation_id": conversation.id or 0, "sent_at": now, "received_at": now, **same}
            session.add(Message(text=text, direction="in", author_kind="contact", **sent))
    return conversation


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix(BOM))))


@pytest.mark.parametrize(
    ("locale", "direction", "title"),
    [
        ("en", "ltr", "What people talk about"),
        ("fr", "ltr", "Ce dont les gens parlent"),
        ("ar", "rtl", "عمّ يتحدث الناس"),
    ],
)
async def test_the_page_shows_the_phrases_with_their_messages_in_every_language(
    analyst: Desk, locale: str, direction: str, title: str
) -> None:
    await analyst.sign_in("analyst", locale)
    status, empty = await analyst.get("/reports/topics")
    assert (status, "topic-list" in empty) == (200, False)
    conversation = await written(analyst)
    status, text = await analyst.get("/reports/topics?days=30")
    assert status == 200
    assert f'dir="{direction}"' in text
    assert f"<h1>{title}</h1>" in text
    assert "<bdi>fibre optique</bdi>" in text
    assert f"/inbox/{conversation.id}" in text
    assert "&lt;b&gt;rien" in text
    assert "<b>rien" not in text


async def test_all_messages_behind_a_phrase_are_a_click_away(analyst: Desk) -> None:
    conversation = await written(analyst)
    _, topics = await analyst.get("/reports/topics?days=30")
    address = topics.split('class="topic-all" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "phrase=fibre+optique" in address
    status, text = await analyst.get(address)
    assert status == 200
    assert text.count(f"/inbox/{conversation.id}") == len(TEXTS)
    status, text = await analyst.get("/reports/topics/messages?phrase=%22%3E&days=30")
    assert (status, "not among the topics" in text) == (200, True)


async def test_without_earlier_messages_the_newest_days_can_be_compared_with_the_others(analyst: Desk) -> None:
    await written(analyst)
    assert "Compare the last" not in (await analyst.get("/reports/topics?days=7"))[1], "it is all of one day"
    async with analyst.line.database.write() as session:
        message = (await session.execute(select(Message).limit(1))).scalar_one()
        message.sent_at -= timedelta(days=5)
    page = (await analyst.get("/reports/topics?days=7"))[1]
    address = page.split("Compare the last 3 days")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "compared with 1 from" in (await analyst.get(address))[1]


async def test_the_reports_fetch_the_section_when_it_comes_into_view(analyst: Desk) -> None:
    await written(analyst)
    _, page = await analyst.get("/reports?days=30")
    address = page.split('id="topics" class="topics" hx-get="')[1].split('"')[0]
    status, section = await analyst.get(address.replace("&amp;", "&"), **PARTIAL)
    assert status == 200
    assert section.startswith('<div id="topics"')
    assert "<bdi>fibre optique</bdi>" in section


async def test_everybody_else_can_be_compared_with_once_a_filter_leaves_somebody_out(analyst: Desk) -> None:
    await written(analyst)
    assert "against=others" not in (await analyst.get("/reports/topics"))[1]
    status, text = await analyst.get("/reports/topics?team=0&against=others")
    assert status == 200
    assert "everybody else in the same period" in text
    assert (await analyst.get("/reports/topics?against=nobody"))[0] == 400


async def test_the_file_of_topics_masks_personal_data_in_its_examples(analyst: Desk) -> None:
    await written(analyst)
    answer = await analyst.ask("GET", "/reports/topics.csv?days=30")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="topics-')
    (row,) = [row for row in rows_of(await answer.text()) if row["Phrase"] == "fibre optique"]
    assert row["Messages"] == "4"
    assert not any(sign.isdigit() for sign in row["Example"])


async def test_a_file_of_messages_masks_personal_data_and_numbers_the_customers(analyst: Desk) -> None:
    conversation = await written(analyst)
    answer = await analyst.ask("GET", "/reports/messages.csv?days=30")
    text = await answer.text()
    rows = rows_of(text)
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="messages-')
    assert {row["Message"] for row in rows} == {
        "Toujours pas de fibre optique à Oran depuis hier soir, appelez-moi au [phone]",
        TEXTS[1],
        "c'est quand que la fibre optique revient ? [email]",
        TEXTS[3],
    }
    assert {row["Customer"] for row in rows} == {str(conversation.contact_id)}
    assert "Benali" not in text


async def test_only_administrators_get_personal_data_in_a_file_and_only_when_they_ask(analyst: Desk) -> None:
    await written(analyst)
    for path in ("/reports/messages.csv?raw=yes", "/reports/topics.csv?raw=yes"):
        assert (await analyst.get(path))[0] == 403
    assert "raw=yes" not in (await analyst.get("/reports/messages"))[1]
    await analyst.sign_in("admin")
    assert "raw=yes" in (await analyst.get("/reports/messages"))[1]
    assert "0550" not in (await analyst.get("/reports/messages.csv"))[1]
    rows = rows_of((await analyst.get("/reports/messages.csv?raw=yes"))[1])
    assert {row["Message"] for row in rows} == set(TEXTS)
    assert {row["Customer"] for row in rows} == {"Karim Benali"}


async def test_a_wrong_filter_is_a_sentence(analyst: Desk) -> None:
    for path in ("topics?days=8", "topics.csv?days=8", "messages.csv?days=8", "messages.csv?sentiment=angry"):
        assert (await analyst.get(f"/reports/{path}"))[0] == 400


async def test_agents_do_not_read_what_others_were_told(analyst: Desk) -> None:
    await analyst.sign_in("agent")
    for path in ("topics", "topics.csv", "messages.csv"):
        assert (await analyst.get(f"/reports/{path}"))[0] == 403
