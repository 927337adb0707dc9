"""The survey page: opening records nothing, sending records once, and every other case is a friendly sentence."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Contact, Conversation, Resolution, Survey
from socialcrm.engine.line import Line
from tests.web.desk import Desk, desk


@pytest.fixture
async def customer(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as customer:
        yield customer


async def invite(customer: Desk, language: str = "fr", days: float = 7) -> str:
    channel = await customer.channel()
    now = customer.line.now()
    async with customer.line.database.write() as session:
        contact = Contact(name="Karim", created_at=now)
        session.add(contact)
        await session.flush()
        conversation = Conversation(
            channel_id=channel.id or 0,
            contact_id=contact.id or 0,
            thread_key="t",
            kind="direct_message",
            status="resolved",
            opened_at=now,
            last_message_at=now,
        )
        session.add(conversation)
        await session.flush()
        resolution = Resolution(conversation_id=conversation.id or 0, resolved_at=now, survey="sent")
        session.add(resolution)
        await session.flush()
        survey = Survey(
            token=f"token-{channel.key[:8]}",
            resolution_id=resolution.id or 0,
            conversation_id=conversation.id or 0,
            contact_id=contact.id or 0,
            channel_id=channel.id or 0,
            language=language,
            sent_at=now,
            expires_at=now + timedelta(days=days),
        )
        session.add(survey)
    return survey.token


async def recorded(customer: Desk, token: str) -> tuple[int | None, str]:
    async with customer.line.database.read() as session:
        row = (await session.execute(select(Survey).where(col(Survey.token) == token))).scalar_one()
    return row.score, row.comment


async def test_opening_the_link_records_nothing_and_a_score_in_it_is_only_chosen(customer: Desk) -> None:
    token = await invite(customer)
    status, text = await customer.get(f"/s/{token}?score=4")
    assert status == 200
    assert 'value="4" required checked' in text
    assert text.count("checked") == 1
    assert (await customer.ask("HEAD", f"/s/{token}?score=4")).status == 200
    assert await recorded(customer, token) == (None, "")


async def test_sending_the_form_records_the_score_and_the_words_once(customer: Desk) -> None:
    token = await invite(customer)
    status, text = await customer.post(f"/s/{token}", {"score": "5", "comment": "Merci <b>beaucoup</b>"})
    assert (status, "Thank you" in text or "Merci" in text) == (200, True)
    assert await recorded(customer, token) == (5, "Merci <b>beaucoup</b>")
    status, text = await customer.post(f"/s/{token}", {"score": "1", "comment": "non"})
    assert status == 409
    assert "<form" not in text
    assert await recorded(customer, token) == (5, "Merci <b>beaucoup</b>")
    status, text = await customer.get(f"/s/{token}")
    assert (status, "<form" in text) == (200, False)


@pytest.mark.parametrize("score", ["0", "6", "abc", "", "4.5", "-1", "٤", "5 or 1"])
async def test_a_score_that_is_none_is_explained_and_the_words_are_kept(customer: Desk, score: str) -> None:
    token = await invite(customer)
    status, text = await customer.post(f"/s/{token}", {"score": score, "comment": "Trop <lent>"})
    assert status == 400
    assert 'role="alert"' in text
    assert "Trop &lt;lent&gt;</textarea>" in text
    assert await recorded(customer, token) == (None, "")


async def test_words_that_are_too_long_are_explained_and_the_score_stays_chosen(customer: Desk) -> None:
    token = await invite(customer)
    status, text = await customer.post(f"/s/{token}", {"score": "2", "comment": "x" * 4001})
    assert (status, 'value="2" required checked' in text) == (400, True)
    assert (await customer.post(f"/s/{token}", {"score": "2", "comment": "x" * 70_000}))[0] == 413
    assert await recorded(customer, token) == (None, "")


async def test_an_expired_survey_says_so(customer: Desk) -> None:
    token = await invite(customer, days=-1)
    status, text = await customer.get(f"/s/{token}")
    assert (status, "<form" in text) == (200, False)
    assert (await customer.post(f"/s/{token}", {"score": "5"}))[0] == 409
    assert await recorded(customer, token) == (None, "")


@pytest.mark.parametrize("token", ["nobody", "\0", "é", "x" * 3000, "' OR 1=1"])
async def test_an_unknown_link_is_not_found(customer: Desk, token: str) -> None:
    path = f"/s/{quote(token, safe='')}"
    assert (await customer.get(path))[0] == 404
    assert (await customer.post(path, {"score": "5"}))[0] == 404


@pytest.mark.parametrize(
    ("language", "lang", "direction", "words"),
    [
        ("fr", "fr", "ltr", "Satisfait"),
        ("ar", "ar", "rtl", "راض"),
        ("en", "en", "ltr", "Satisfied"),
        ("arq-Arab", "ar", "rtl", ""),
        ("arq-Latn", "fr", "ltr", ""),
    ],
)
async def test_the_page_speaks_the_language_of_the_survey(
    customer: Desk, language: str, lang: str, direction: str, words: str
) -> None:
    token = await invite(customer, language)
    _, text = await customer.get(f"/s/{token}", **{"Accept-Language": "de"})
    assert f'<html lang="{lang}" dir="{direction}">' in text
    assert words in text


async def test_the_page_needs_no_scripts_and_is_kept_by_nobody(customer: Desk) -> None:
    token = await invite(customer)
    answer = await customer.ask("GET", f"/s/{token}")
    assert "<script" not in await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
