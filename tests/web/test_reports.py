"""The reports page: figures that agree with their charts, files and rows, in every language."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from socialcrm.domain.rows import Analysis, Contact, Conversation, Message, Resolution, Survey
from socialcrm.engine.line import Line
from socialcrm.reports.charts import CHARTS
from socialcrm.reports.export import BOM
from socialcrm.reports.registry import TABLES
from tests.web.desk import Desk, desk


@pytest.fixture
async def analyst(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as analyst:
        await analyst.sign_in("analyst")
        yield analyst


async def history(analyst: Desk, name: str = "The shop") -> Conversation:
    """Two messages of a minute ago, one of them a complaint that was answered, and a survey with score 4."""
    channel = await analyst.channel(name=name)
    now = analyst.line.now() - timedelta(minutes=1)
    async with analyst.line.database.write() as session:
        contact = Contact(name="=Karim", created_at=now)
        session.add(contact)
        await session.flush()
        same = {"channel_id": channel.id or 0, "contact_id": contact.id or 0, "kind": "direct_message"}
        conversation = Conversation(
            thread_key="t", status="resolved", opened_at=now, last_message_at=now, language="fr", **same
        )
        session.add(conversation)
        await session.flush()
        number = conversation.id or 0
        sent = {"conversation_id": number, "sent_at": now, "received_at": now, **same}
        bad = Message(text="la connexion <b>mayta</b>", direction="in", author_kind="contact", **sent)
        good = Message(text="merci", direction="in", author_kind="contact", **sent)
        reply = Message(
            text="Bonjour", direction="out", author_kind="agent", **{**sent, "sent_at": now + timedelta(seconds=45)}
        )
        resolution = Resolution(conversation_id=number, resolved_at=now, survey="sent")
        session.add_all([bad, good, reply, resolution])
        await session.flush()
        for message, mood in ((bad, "negative"), (good, "positive")):
            session.add(
                Analysis(
                    message_id=message.id or 0,
                    language="fr",
                    language_score=0.9,
                    sentiment=mood,
                    sentiment_score=0.9,
                    is_complaint=message is bad,
                    complaint_score=0.9,
                    intent="other",
                    intent_score=0.9,
                    model="m",
                    analyzed_at=now,
                )
            )
        session.add(
            Survey(
                token="t",
                resolution_id=resolution.id or 0,
                conversation_id=number,
                contact_id=contact.id or 0,
                channel_id=channel.id or 0,
                language="fr",
                sent_at=now,
                expires_at=now,
                score=4,
                answered_at=now,
            )
        )
    return conversation


async def test_every_headline_opens_the_rows_it_counts(analyst: Desk) -> None:
    conversation = await history(analyst)
    status, text = await analyst.get("/reports")
    assert status == 200
    opened = [
        part.split('"')[0].replace("&amp;", "&")
        for part in text.split('class="headline"')[1:]
        for part in [part.split('href="')[1]]
    ]
    assert len(opened) == 6
    counts = []
    for href in opened:
        status, page = await analyst.get(href)
        assert (status, f"/inbox/{conversation.id}" in page) == (200, True), href
        counts.append(page.split('class="rows-count"><strong>')[1].split("<")[0])
    assert counts == ["2", "1", "1", "1", "1", "1"]


async def test_chart_table_and_file_say_the_same(analyst: Desk) -> None:
    await history(analyst)
    chart = json.loads((await analyst.get("/reports/sentiment.json?days=7"))[1])
    drawn = {value["series"]: value["count"] for value in chart["data"]["values"]}
    assert drawn == {"Positive": 1, "Negative": 1}
    _, text = await analyst.get("/reports/sentiment.csv?days=7")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix(BOM))))
    assert {name: sum(int(row[name]) for row in rows) for name in drawn} == drawn
    assert len(rows) == 7


@pytest.mark.parametrize("name", CHARTS)
async def test_every_mark_of_a_chart_opens_rows_and_no_colour_is_fixed(analyst: Desk, name: str) -> None:
    await history(analyst)
    status, text = await analyst.get(f"/reports/{name}.json?days=7")
    chart = json.loads(text)
    hrefs = {value["href"] for value in chart["data"]["values"]} - {""}
    assert status == 200
    assert hrefs
    for href in hrefs:
        assert (await analyst.get(href))[0] == 200
    assert "#" not in text.replace('"$schema"', "")


@pytest.mark.parametrize("name", TABLES)
async def test_every_table_is_a_file_with_titles_in_the_agents_language(analyst: Desk, name: str) -> None:
    await history(analyst, name="=1+1")
    answer = await analyst.ask("GET", f"/reports/{name}.csv?days=30")
    text = (await answer.read()).decode()
    assert answer.status == 200
    assert answer.content_type == "text/csv"
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{name}-')
    assert text.startswith(BOM)
    for row in csv.reader(io.StringIO(text.removeprefix(BOM))):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    ("locale", "direction", "title"), [("en", "ltr", "Reports"), ("fr", "ltr", "Rapports"), ("ar", "rtl", "التقارير")]
)
async def test_the_page_is_drawn_in_every_language_with_and_without_messages(
    analyst: Desk, locale: str, direction: str, title: str
) -> None:
    await analyst.sign_in("analyst", locale)
    for path in ("/reports", "/reports/messages", "/reports/surveys", "/reports/answers"):
        assert (await analyst.get(path))[0] == 200
    conversation = await history(analyst)
    status, text = await analyst.get("/reports?days=90")
    assert status == 200
    assert f'dir="{direction}"' in text
    assert f"<h1>{title}</h1>" in text
    assert text.count('<report-chart class="chart') == text.count('dir="ltr" role="img"') == len(CHARTS)
    for path in ("/reports/messages", "/reports/surveys?answered=yes", "/reports/answers"):
        assert f"/inbox/{conversation.id}" in (await analyst.get(path))[1]


async def test_without_messages_the_page_says_what_to_do(analyst: Desk) -> None:
    _, text = await analyst.get("/reports")
    assert "No messages in this period" in text
    assert "<report-chart" not in text


async def test_texts_of_customers_are_shown_and_not_run(analyst: Desk) -> None:
    await history(analyst)
    _, text = await analyst.get("/reports/messages")
    assert "la connexion &lt;b&gt;mayta&lt;/b&gt;" in text


@pytest.mark.parametrize("query", ["days=8", "from=x", "channel=%00", "team=-1", "from=2026-03-02&to=2026-03-01"])
async def test_a_wrong_filter_is_a_sentence_above_the_usual_week(analyst: Desk, query: str) -> None:
    status, text = await analyst.get(f"/reports?{query}")
    assert (status, 'role="alert"' in text) == (400, True)
    for path in ("volume.json", "volume.csv", "messages", "surveys", "answers"):
        assert (await analyst.get(f"/reports/{path}?{query}"))[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "messages?after=x",
        "messages?sentiment=angry",
        "messages?complaint=perhaps",
        "surveys?agent=x",
        "surveys?score=%00",
    ],
)
async def test_a_damaged_address_is_a_sentence(analyst: Desk, path: str) -> None:
    assert (await analyst.get(f"/reports/{path}"))[0] == 400


@pytest.mark.parametrize("path", ["nothing.json", "nothing.csv", "csat_agents.json"])
async def test_what_is_not_there_is_not_found(analyst: Desk, path: str) -> None:
    assert (await analyst.get(f"/reports/{path}"))[0] == 404


async def test_agents_do_not_see_the_figures_of_others(analyst: Desk) -> None:
    await analyst.sign_in("agent")
    for path in ("", "/volume.json", "/volume.csv", "/messages", "/surveys", "/answers"):
        assert (await analyst.get(f"/reports{path}"))[0] == 403
