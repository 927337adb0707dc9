"""The whole engine at work on one story: rules, routing, promises, cases, bot, questions and surveys, all switched on.

Three kinds of channel (buttons, numbered answers, the web chat), every language; and the same story with the process
killed before each of its commits, which ends in the same state.
"""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.routing import CHATS
from socialcrm.domain.rows import (
    Agent,
    Case,
    Channel,
    Conversation,
    ConversationEvent,
    Message,
    OutboxItem,
    Survey,
)
from socialcrm.domain.sla import Sla
from socialcrm.engine import answer, case_file, cases, deliver
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import resolve
from socialcrm.engine.schedule import drain
from socialcrm.reports.filters import read_filters
from socialcrm.reports.registry import TABLES
from tests.engine.scripted import on_one_database
from tests.engine.test_cases import YES
from tests.engine.test_triage import COMPLAINTS
from tests.story import Clock, Story, line_with

SUNDAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
"""Ten in the morning in Algiers: the shipped calendar is open."""
CHANNELS = ("echo", "unbuttoned", "webchat")
FOUR = {"fr": "4", "ar": "٤", "arq-Arab": "4", "arq-Latn": "4", "en": "4"}
WORK = {
    "fr": "Un technicien passe demain matin.",
    "ar": "سيمر التقني غدا صباحا.",
    "arq-Arab": "التقني يجي غدوة الصباح.",
    "arq-Latn": "Technicien yji ghodwa sbah.",
    "en": "A technician comes tomorrow morning.",
}


class Crash(BaseException):
    """The process ended here: nothing that catches errors catches it."""


@dataclass
class Shop:
    """A company with its channels and agents, and a customer for each language on each channel."""

    line: Line
    clock: Clock
    stories: Mapping[str, Story]
    languages: tuple[str, ...]

    @classmethod
    async def begin(cls, line: Line, languages: tuple[str, ...], channels: tuple[str, ...]) -> "Shop":
        clock = Clock(SUNDAY)
        line = line_with(line, clock)
        stories = {name: await Story.begin(line, name, name) for name in channels}
        for name, spoken in (("Amina", ["fr", "ar"]), ("Yacine", ["arq-Arab", "arq-Latn", "en"])):
            agent = await stories[channels[0]].agent(name, team="technique")
            async with line.database.write() as session:
                row = await session.get_one(Agent, agent.id)
                row.languages, row.capacity = spoken, {CHATS: 100}
        return cls(line, clock, stories, languages)

    async def everybody_writes(self, texts: Mapping[str, str], number: str) -> None:
        """Each customer writes in their own words; what they wrote waits to be taken."""
        for name, story in self.stories.items():
            for language in self.languages:
                if name == "webchat":
                    body = {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, language + number)), "text": texts[language]}
                    event = {"visitor": visitor(language), "sent_at": self.clock().isoformat(), "body": body}
                    await story.platform_says([event], drains=False)
                else:
                    await story.customer_writes(
                        texts[language], author=language, number=f"{name}-{language}-{number}", drains=False
                    )

    async def everybody_presses(self, place: int, texts: Mapping[str, str], number: str) -> None:
        """Each customer presses a button of the newest question, or writes the answer where there are none."""
        for name, story in self.stories.items():
            for language in self.languages:
                buttons = (await self.newest(name, language)).buttons
                if not buttons:
                    sent = {"author": language, "number": f"{name}-{language}-{number}", "drains": False}
                    await story.customer_writes(texts[language], **sent)  # type: ignore[arg-type]
                elif name == "webchat":
                    body = {
                        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, language + number)),
                        "button": buttons[place]["value"],
                    }
                    event = {"visitor": visitor(language), "sent_at": self.clock().isoformat(), "body": body}
                    await story.platform_says([event], drains=False)
                else:
                    pressed = {
                        "id": f"{name}-{language}-{number}",
                        "author": language,
                        "button": buttons[place]["value"],
                    }
                    await story.platform_says([pressed], drains=False)

    async def newest(self, channel: str, language: str) -> Message:
        """What one customer was told last."""
        async with self.line.database.read() as session:
            query = (
                select(Message)
                .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
                .where(
                    col(Message.direction) == "out",
                    col(Message.channel_id) == self.stories[channel].channel.id,
                    col(Conversation.thread_key) == (visitor(language) if channel == "webchat" else language),
                )
                .order_by(col(Message.id).desc())
                .limit(1)
            )
            return (await session.execute(query)).scalar_one()

    async def rows(self, table: Any) -> Any:
        return await next(iter(self.stories.values())).rows(table)

    async def agents_answer(self) -> None:
        for conversation in await self.rows(Conversation):
            async with self.line.database.write() as session:
                row = await session.get_one(Conversation, conversation.id)
                agent = await session.get_one(Agent, row.agent_id)
                await answer.reply(session, self.line, row, WORK[row.language], agent, f"answer-{row.id}")
                await cases.answered(session, self.line, row, agent)

    async def agents_resolve(self) -> None:
        """Case and conversation, as an agent does who thinks that all is done."""
        for found in await self.rows(Case):
            async with self.line.database.write() as session:
                case = await case_file.lock(session, found.id)
                assert case is not None
                conversation = await session.get_one(Conversation, case.conversation_id)
                agent = await session.get_one(Agent, conversation.agent_id)
                await cases.resolve(session, self.line, case, agent)
                await resolve(session, self.line, conversation, agent)


def visitor(language: str) -> str:
    return sha256(language.encode()).hexdigest()[:32]


async def live_through(shop: Shop, rest: Callable[[Line], Any]) -> None:
    """The story; `rest` runs the line until it is quiet."""
    await shop.everybody_writes(COMPLAINTS, "1")
    await rest(shop.line)
    shop.clock.forward(minutes=20)
    await rest(shop.line)
    await shop.agents_answer()
    await rest(shop.line)
    shop.clock.forward(minutes=30)
    await shop.agents_resolve()
    await rest(shop.line)
    shop.clock.forward(minutes=10)
    await rest(shop.line)
    await shop.everybody_presses(0, YES, "2")
    await rest(shop.line)
    shop.clock.forward(minutes=10)
    await rest(shop.line)
    await shop.everybody_presses(3, FOUR, "3")
    await rest(shop.line)


async def test_a_complaint_is_followed_to_a_score_on_three_channels_in_every_language(line: Line) -> None:
    shop = await Shop.begin(line, LANGUAGES, CHANNELS)
    everybody = [(channel, language) for channel in CHANNELS for language in LANGUAGES]

    await shop.everybody_writes(COMPLAINTS, "1")
    await drain(shop.line)
    opened: list[Case] = await shop.rows(Case)
    assert len({case.reference for case in opened}) == len(everybody)
    for (channel, language), case in zip(everybody, opened, strict=True):
        said = (await shop.newest(channel, language)).text
        assert said == line.engagement.reply(language, "acknowledgement", reference=case.reference)
    agents = {agent.id: agent for agent in await shop.rows(Agent)}
    for conversation in await shop.rows(Conversation):
        assert conversation.language in agents[conversation.agent_id].languages, "given to somebody who speaks it"
        assert (conversation.priority, "réseau" in conversation.labels) == ("high", True)
    assert {row.measure for row in await shop.rows(Sla)} >= {"first_response", "resolution"}

    shop.clock.forward(minutes=20)
    await shop.agents_answer()
    await drain(shop.line)
    for channel, language in everybody:
        assert (await shop.newest(channel, language)).text == WORK[language]
    assert {row.status for row in await shop.rows(Sla) if row.measure == "first_response"} == {"met"}
    assert {case.status for case in await shop.rows(Case)} == {"working"}

    shop.clock.forward(minutes=30)
    await shop.agents_resolve()
    await drain(shop.line)
    shop.clock.forward(minutes=10)
    await drain(shop.line)
    assert await shop.rows(Survey) == [], "nobody is asked two things at once"
    for channel, language in everybody:
        question = await shop.newest(channel, language)
        assert question.text.startswith(line.engagement.reply(language, "case_solved", reference="|").partition("|")[0])
        assert len(question.buttons) == (0 if channel == "unbuttoned" else 2)

    await shop.everybody_presses(0, YES, "2")
    await drain(shop.line)
    assert {(case.status, case.outcome) for case in await shop.rows(Case)} == {("closed", "confirmed")}

    shop.clock.forward(minutes=10)
    await drain(shop.line)
    await shop.everybody_presses(3, FOUR, "3")
    await drain(shop.line)
    surveys: list[Survey] = await shop.rows(Survey)
    assert [survey.score for survey in surveys] == [4] * len(everybody)
    assert {agents[survey.agent_id or 0].name for survey in surveys} == {"Amina", "Yacine"}
    assert {conversation.status for conversation in await shop.rows(Conversation)} == {"resolved"}

    filters = read_filters({"days": "7"}, shop.clock(), ZoneInfo("Africa/Algiers"))
    async with shop.line.database.read() as session:
        csat = (await TABLES["csat"](session, filters)).rows[-1]
    assert (csat["mean"], csat["answered"]) == (4.0, len(everybody))


async def end_state(shop: Shop) -> dict[str, Any]:
    """What there is in the end, without numbers, references and tokens."""
    references = {case.reference for case in await shop.rows(Case)}
    channels = {channel.id: channel.key for channel in await shop.rows(Channel)}

    def plain(text: str) -> str:
        for reference in references:
            text = text.replace(reference, "REF")
        return re.sub(r"(?<=/s/)[\w-]+", "TOKEN", text)

    places = {c.id: (channels[c.channel_id], c.thread_key) for c in await shop.rows(Conversation)}
    return {
        "conversations": Counter(
            (*places[c.id], c.status, c.priority, tuple(c.labels), c.message_count, c.agent_id)
            for c in await shop.rows(Conversation)
        ),
        "messages": Counter(
            (places[m.conversation_id], m.direction, m.author_kind, m.delivery, plain(m.text))
            for m in await shop.rows(Message)
        ),
        "outbox": Counter(item.status for item in await shop.rows(OutboxItem)),
        "cases": Counter((c.status, c.outcome, c.severity, c.due_at) for c in await shop.rows(Case)),
        "promises": Counter((s.measure, s.status, s.started_at, s.due_at) for s in await shop.rows(Sla)),
        "surveys": Counter((s.score, s.language, s.agent_id) for s in await shop.rows(Survey)),
        "events": Counter((places[e.conversation_id], e.kind) for e in await shop.rows(ConversationEvent)),
        "sent": Counter(
            (name, str(row["thread"]), plain(str(row["text"])))
            for name, story in shop.stories.items()
            for row in story.sent()
        ),
    }


def difference(found: Any, whole: Any) -> Any:
    """What is there too much, and what is missing."""
    return (found - whole, whole - found) if isinstance(whole, Counter) else (found, whole)


@on_one_database
@pytest.mark.parametrize(
    ("channels", "deaths"), [(CHANNELS, 3), pytest.param(("unbuttoned",), 1000, marks=pytest.mark.slow)]
)
async def test_the_whole_story_with_a_kill_before_a_commit_ends_in_the_same_state(
    line: Line, fresh_database: Callable[[], str], pipeline: Pipeline, channels: tuple[str, ...], deaths: int
) -> None:
    """In the slow test before each of its commits, one after another."""

    async def play(dies_at: int) -> tuple[dict[str, Any], int]:
        folder = Path(line.settings.storage.folder) / str(dies_at)
        storage = line.settings.storage.model_copy(update={"database": fresh_database(), "folder": folder})
        commits, is_armed = 0, False

        async def before_commit(session: AsyncSession) -> None:
            nonlocal commits
            if is_armed:
                commits += 1
                if commits == dies_at:
                    raise Crash

        async def rest(line: Line) -> None:
            nonlocal is_armed
            is_armed = True
            for _ in range(50):
                try:
                    if not await drain(line):
                        break
                except Crash:  # another process starts, and finds what this one held
                    is_armed = False
                    async with line.database.write() as session:
                        await session.execute(update(OutboxItem).values(claimed_by="this host:0", claimed_at=None))
                    await deliver.reconcile(line)
                    is_armed = True
            else:
                raise AssertionError("the line never came to rest")
            is_armed = False

        async with open_line(line.settings.model_copy(update={"storage": storage}), pipeline=pipeline) as own:
            shop = await Shop.begin(own, ("fr",), channels)
            shop.line.database.before_commit.append(before_commit)
            await live_through(shop, rest)
            return await end_state(shop), commits

    whole, commits = await play(0)
    assert whole["surveys"] == Counter({(4, "fr", next(iter(whole["surveys"]))[2]): len(channels)})
    for dies_at in range(1, commits + 1, max(commits // deaths, 1)):
        found, _ = await play(dies_at)
        wrong = {part: difference(found[part], whole[part]) for part in whole if found[part] != whole[part]}
        assert not wrong, f"killed before commit {dies_at} of {commits}: {wrong}"
