"""Telegram from end to end: the npm package telegram-test-api as the platform, the line as we run it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Analysis, Case, Channel, Conversation, Message, Survey
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable
from tests.servers.telegram import TelegramServer, telegram_server
from tests.story import Story

LYES = 11
T = TypeVar("T")


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as started:
        yield started


@pytest.fixture
async def story(line: Line, server: TelegramServer) -> AsyncIterator[Story]:
    """A bot that is polled by a running line."""
    story = await Story.begin(line)
    now = line.now()
    async with line.database.write() as session:
        story.channel = Channel(
            connector="telegram",
            key="bot",
            name="@wasla_bot",
            settings={"mode": "polling", "poll_seconds": 1, "api_url": server.api_url},
            credentials=line.vault.encrypt({"token": server.token}),
            created_at=now,
            changed_at=now,
        )
        session.add(story.channel)
    timetable = Timetable(line)
    await timetable.start()
    yield story
    await timetable.stop()


async def until(line: Line, look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` finds, asked again at each change of the database's rows until it finds something."""
    async with asyncio.timeout(20):
        while (found := await look()) is None:
            await asyncio.sleep(0.02)
    return found


async def test_a_telegram_customer_is_acknowledged_answered_by_an_agent_and_scores_with_a_button(
    line: Line, server: TelegramServer, story: Story
) -> None:
    amina = await story.agent("Amina", team="technique")

    await server.send_text(LYES, "salam, la connexion ta3kom mayta men lbareh w 7ed ma jawebni")
    [acknowledgement] = await server.wait_for_bot_messages(LYES, 1)
    async with line.database.read() as session:
        case = (await session.execute(select(Case))).scalar_one()
        message, analysis = (
            await session.execute(select(Message, Analysis).join(Analysis, col(Analysis.message_id) == col(Message.id)))
        ).one()
    assert case.reference in acknowledgement.text
    assert (analysis.language, analysis.is_complaint) == ("arq-Latn", True)

    async def routed() -> Conversation | None:
        async with line.database.read() as session:
            given = select(Conversation).where(col(Conversation.agent_id) == amina.id)
            return (await session.execute(given)).scalar_one_or_none()

    assert (await until(line, routed)).kind == "direct_message"
    assert message.sent_at <= message.received_at <= message.processed_at

    await story.agent_answers(amina, "Technicien yji ghodwa. 🙏 <b>pas de balises</b>")
    answer = (await server.wait_for_bot_messages(LYES, 2))[-1]
    assert answer.text == "Technicien yji ghodwa. 🙏 <b>pas de balises</b>"

    await story.agent_resolves(amina)
    question = (await server.wait_for_bot_messages(LYES, 3))[-1]
    assert [label[0] for label, _ in question.buttons] == ["1", "2", "3", "4", "5"]
    press = await server.press(LYES, question, question.buttons[4][1])

    async def scored() -> Survey | None:
        async with line.database.read() as session:
            return (await session.execute(select(Survey).where(col(Survey.score).is_not(None)))).scalar_one_or_none()

    survey = await until(line, scored)
    assert (survey.score, survey.agent_id) == (5, amina.id)
    await server.wait_for_bot_messages(LYES, 4)
    assert press in server.answered_presses
    again = await server.press(LYES, question, question.buttons[0][1])

    async def spinner_stopped() -> bool | None:
        return True if again in server.answered_presses else None

    await until(line, spinner_stopped)
    assert (await story.survey()).score == 5, "the first score counts"


async def test_an_edit_on_telegram_is_mirrored_and_not_answered_again(
    line: Line, server: TelegramServer, story: Story
) -> None:
    sent = await server.send_text(LYES, "ma facture est fausse, c'est inadmissible")
    await server.wait_for_bot_messages(LYES, 1)
    await server.edit_text(LYES, sent, "merci beaucoup, ma facture est corrigée, service parfait")

    async def edited() -> Message | None:
        async with line.database.read() as session:
            query = select(Message).where(col(Message.edited_at).is_not(None), col(Message.step) == "done")
            return (await session.execute(query)).scalar_one_or_none()

    message = await until(line, edited)
    _, analysis = await story.last_understood()
    assert message.text.startswith("merci beaucoup")
    assert not analysis.is_complaint
    assert len(await server.bot_messages(LYES)) == 1
