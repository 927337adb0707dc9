"""The bot in stories: over channels with buttons, without them and in public, in every language."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.bot import BotSession, BotTurn, CallBack, Plan
from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.rows import Case, Contact, Conversation, ConversationEvent, Correction, Message
from socialcrm.domain.teaching import Source
from socialcrm.engine import ask, bot, schedule
from socialcrm.engine.analyze import analyze
from socialcrm.engine.bot import speak
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import save_flow, save_plan, switch
from socialcrm.engine.resolve import resolve
from socialcrm.engine.schedule import drain
from socialcrm.engine.triage import triage
from tests.engine.scripted import begin, on_one_database
from tests.story import Clock, Story, line_with

SUNDAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
"""Ten in the morning in Algiers: the shipped calendar is open."""
FRIDAY = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
HELLO = {
    "fr": "bonjour à tous",
    "en": "hello there",
    "ar": "السلام عليكم ورحمة الله",
    "arq-Arab": "سلام خاوتي واش راكم",
    "arq-Latn": "salam khawti wach rakom",
}
CALL = {
    "fr": ("3", "0550 12 34 56", "demain 10h30", "oui"),
    "en": ("Call me back", "my number is 0550123456", "tomorrow 10:30", "yes"),
    "ar": ("٣", "٠٥٥٠١٢٣٤٥٦", "غدا 10:30", "نعم"),
    "arq-Arab": ("عيطولي", "0550 12 34 56", "غدوة 10:30", "إيه"),
    "arq-Latn": ("3aytouli", "0550123456", "ghodwa 10h30", "ih"),
}
PERSON = {
    "fr": "humain",
    "en": "agent",
    "ar": "بشر",
    "arq-Arab": "حاب نهدر مع واحد منكم",
    "arq-Latn": "n7eb nahder m3a wahed",
}
ASKED = "hello, could you tell me how I should restart the router properly"
"""What only the encoder finds: none of the FAQ's phrases is in it."""


async def set_up(line: Line, *flows: str, clock: Clock | None = None, **plan: object) -> Line:
    """The line with flows that begin by themselves, and with a plan."""
    made = line_with(line, clock or Clock(SUNDAY))
    async with line.database.write() as session:
        for name in flows:
            await switch(session, made, name, True)
        await save_plan(session, made, Plan.model_validate(plan), None)
    return made


def texts(story: Story) -> list[str]:
    return [str(sent["text"]) for sent in story.sent()]


def buttons(story: Story) -> dict[str, str]:
    return dict(map(tuple, story.sent()[-1]["buttons"]))


async def know_their_languages(story: Story) -> None:
    """Each contact's language is the one that they are called after, as earlier messages told it."""
    async with story.line.database.write() as session:
        for contact in await story.rows(Contact):
            known = {language.title(): language for language in LANGUAGES}
            (await session.get_one(Contact, contact.id)).language = known[contact.name]


@pytest.mark.parametrize("connector", ["scripted", "forgetful"])
@on_one_database
async def test_a_menu_leads_to_a_call_back_in_every_language_with_and_without_buttons(
    line: Line, connector: str
) -> None:
    line = await set_up(line, "welcome")
    story, script = await begin(line, connector)
    for language in LANGUAGES:
        await story.customer_writes(HELLO[language], author=language, drains=False)
    await drain(line)
    await know_their_languages(story)
    assert len(script.got) == len(LANGUAGES)
    assert ["\n1. " in text for text in script.got] == [connector == "forgetful"] * len(LANGUAGES)
    for place in range(4):
        for language in LANGUAGES:
            await story.customer_writes(CALL[language][place], author=language, drains=False)
        await drain(line)
    assert len(script.got) == 5 * len(LANGUAGES)
    assert all("10:30" in text for text in script.got[-len(LANGUAGES) :])
    wanted = await story.rows(CallBack)
    assert [(one.phone, one.due_at) for one in wanted] == [
        ("+213550123456", datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
    ] * len(LANGUAGES)
    assert {row.step for row in await story.rows(BotSession)} == {""}


async def test_buttons_are_pressed_and_a_second_press_changes_nothing(line: Line) -> None:
    line = await set_up(line, "welcome")
    story = await Story.begin(line)
    await story.customer_writes("hello there")
    menu = buttons(story)
    assert next(iter(menu)) in ("Opening hours", "Horaires")
    [hours, problem, *_] = menu.values()
    await story.customer_presses(hours)
    await story.customer_presses(hours)
    await story.customer_presses(problem)
    assert len(texts(story)) == 2, "the first choice counts"
    assert [fate for fate, _ in await story.fates()] == ["stored"] * 4
    assert (await story.conversation()).handler == "bot"


async def test_a_complaint_taken_by_the_bot_is_a_case_with_its_reference_and_a_summary_for_people(line: Line) -> None:
    line = await set_up(line, "welcome")
    story = await Story.begin(line)
    await story.customer_writes("hello there")
    await story.customer_presses(list(buttons(story).values())[1])
    for text in ("the box stopped working on monday", "no number", "none", "yes"):
        await story.customer_writes(text)
    case = await story.case()
    assert case.reference in texts(story)[-1]
    assert len(await story.rows(Case)) == 1
    conversation = await story.conversation()
    assert conversation.handler == "human"
    [handed] = [e for e in await story.rows(ConversationEvent) if e.kind == "handed_over"]
    assert handed.data["kept"]["problem"] == "the box stopped working on monday"
    assert handed.data["flow"] == "complaint"


@on_one_database
async def test_who_asks_for_a_person_in_the_middle_of_a_flow_gets_one_at_once_in_every_language(line: Line) -> None:
    line = await set_up(line, "callback")
    story = await Story.begin(line)
    for language in PERSON:
        await story.customer_writes("please call me back", author=language, drains=False)
    await drain(line)
    await know_their_languages(story)
    for language, text in PERSON.items():
        await story.customer_writes(text, author=language, drains=False)
    await drain(line)
    assert {one.handler for one in await story.rows(Conversation)} == {"human"}
    for language in PERSON:
        said = line.engagement.reply(language, "handover")
        assert sum(text.startswith(said) for text in texts(story)) == 1, language
    summaries = [e.data for e in await story.rows(ConversationEvent) if e.kind == "handed_over"]
    assert [data["flow"] for data in summaries] == ["callback"] * len(PERSON)
    before = len(texts(story))
    await story.customer_writes("please call me back", author="en")
    assert len(texts(story)) == before, "people look after it now"


async def test_several_messages_in_a_row_are_read_as_one_once_they_stop(line: Line) -> None:
    clock = Clock(SUNDAY)
    line = line_with(await set_up(line, clock=clock), clock, bot={"settle_seconds": 4})
    story = await Story.begin(line)
    for piece in ("slm", "svp", "vous ouvrez quand", "?"):
        await story.customer_writes(piece)
        clock.forward(seconds=3)
        await drain(line)
        assert texts(story) == []
    clock.forward(seconds=2)
    await drain(line)
    assert len(texts(story)) == 1
    assert "8 h 30" in texts(story)[0]
    assert await story.rows(BotTurn) == []
    assert "answered from the FAQ" in str(await story.trace((await story.messages())[-1]))


async def test_somebody_who_never_stops_writing_is_answered_all_the_same(line: Line) -> None:
    clock = Clock(SUNDAY)
    line = line_with(await set_up(line, clock=clock), clock, bot={"settle_seconds": 4})
    story = await Story.begin(line)
    for _ in range(8):
        await story.customer_writes("vous ouvrez quand ?")
        clock.forward(seconds=3)
    await drain(line)
    assert len(texts(story)) == 1


@on_one_database
async def test_the_encoder_finds_the_question_where_it_is_right_often_enough(line: Line) -> None:
    line = await set_up(line)
    story = await Story.begin(line)
    assert line.engagement.question(frozenset(ASKED.split())) is None
    await story.customer_writes(ASKED)
    assert texts(story)[0].startswith("Simple restart")
    trace = str(await story.trace((await story.messages())[-1]))
    assert "it asks 'reset-box', with 0." in trace

    strict = await set_up(line, faq_bar=1.0)
    story = await Story.begin(strict, "strict")
    await story.customer_writes("Could you send me last month's invoice as a PDF?", author="other")
    assert texts(story) == []
    assert "suggested to the agent" in str(await story.trace((await story.messages())[-1]))


@on_one_database
async def test_in_public_a_question_is_answered_only_once_its_intent_was_found_right_often_enough(line: Line) -> None:
    line = await set_up(line, public_least=10)
    story = await Story.begin(line)
    amina = await story.agent("Amina")
    public: dict[str, Any] = {"kind": "comment", "thread": "post-1"}
    await story.customer_writes("what are your opening hours please", **public)
    assert texts(story) == []
    message, analysis = await story.last_understood()
    assert f"the intent {analysis.intent} was judged 0 times only, of 10" in str(await story.trace(message))
    for number in range(10):
        await story.customer_writes(f"number {number}", author=f"judged-{number}")
    async with line.database.write() as session:
        for judged in await story.messages():
            session.add(
                Correction(
                    message_id=judged.id or 0,
                    field="intent",
                    label=analysis.intent,
                    predicted=analysis.intent,
                    score=0.9,
                    model="m",
                    agent_id=amina.id or 0,
                    source=Source.SAMPLE,
                    made_at=line.now(),
                )
            )
    await story.customer_writes("what are your opening hours please", author="nadia", **public)
    assert (story.sent()[-1]["action"], "8:30 am" in texts(story)[-1]) == ("reply", True)


@on_one_database
async def test_out_of_hours_the_next_opening_is_told_once_in_the_window(line: Line) -> None:
    line = await set_up(line, clock=Clock(FRIDAY), tells_closed=True)
    story = await Story.begin(line)
    for text in ("I would like to know something about my contract", "hello?", "anybody there?"):
        await story.customer_writes(text)
    [said] = texts(story)
    assert said.endswith("We are back on Sunday 29 November at 08:00.")


@on_one_database
async def test_the_place_in_the_queue_is_that_among_those_who_wait_for_the_same_team(line: Line) -> None:
    clock = Clock(SUNDAY)
    story = await Story.begin(await set_up(line, clock=clock))
    for number in range(3):
        await story.customer_writes("I want to talk to a human", author=f"a{number}")
        clock.forward(minutes=1)
    said = texts(story)
    assert "number" not in said[0]
    assert "You are number 2 in the queue." in said[1]
    assert "You are number 3 in the queue." in said[2]


@on_one_database
async def test_two_bots_do_not_talk_to_each_other(line: Line) -> None:
    line = await set_up(line, "welcome", greets=True, tells_closed=True)
    story, script = await begin(line)
    await story.customer_writes("hello there", author="bot", is_bot=True)
    await story.customer_writes("hello there", author="self", is_self=True)
    assert script.got == []
    for _ in range(6):  # one that does not say that it is a bot
        await story.customer_writes("Thank you, we have received your message", author="hidden")
    assert len(script.got) <= 3
    assert (await story.conversation()).handler == "human"


async def test_an_event_that_comes_twice_is_answered_once(line: Line) -> None:
    line = await set_up(line, "callback")
    story = await Story.begin(line)
    for _ in range(2):
        await story.customer_writes("please call me back", number="1")
    for _ in range(2):
        await story.customer_writes("0550123456", number="2")
    assert len(texts(story)) == 2
    [session] = await story.rows(BotSession)
    assert session.step == "when"


class Killed(Exception):
    """The process ended here."""


async def test_a_process_that_is_killed_at_any_step_leaves_what_the_next_one_finishes(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await set_up(line, "callback")
    story = await Story.begin(line)
    deaths: Sequence[tuple[object, str]] = [
        (bot, "_carry_out"),
        (bot, "_leave_call_back"),
        (bot, "_trace"),
        (ask, "ask"),
        (schedule, "deliver_due"),
    ]
    for text in ("please call me back", "0550123456", "tomorrow 10:30", "yes"):
        for author in ("lyes", "nadia"):
            await story.customer_writes(text, author=author, drains=False)
        for module, name in deaths:
            with monkeypatch.context() as dying:
                dying.setattr(module, name, die)
                dying.setattr(bot, "_give_up", die)
                with suppress(Killed):
                    await drain(line)
        await drain(line)
    said = [str(sent["text"]) for sent in story.sent() if sent["thread"] == "lyes"]
    assert len(said) == len(set(said)) == 4
    assert said[0] == "Which number can we call you on?"
    assert [str(sent["text"]) for sent in story.sent() if sent["thread"] == "nadia"] == said
    assert len(await story.rows(CallBack)) == 2
    assert await story.rows(BotTurn) == []


async def die(*_: object, **__: object) -> None:
    raise Killed


async def test_many_processes_speak_once_each_turn(line: Line, pipeline: Pipeline) -> None:
    line = await set_up(line, "callback")
    story = await Story.begin(line)
    for number in range(24):
        await story.customer_writes("please call me back", author=f"a{number}", drains=False)
    for step in (ingest, analyze, triage):
        while await step(line):
            pass
    async with (
        open_line(line.settings, pipeline=pipeline) as second,
        open_line(line.settings, pipeline=pipeline) as third,
    ):
        lines = [replace(each, now=line.now) for each in (line, second, third)]
        while any(await asyncio.gather(*(speak(each) for each in lines))):
            pass
    said: list[Message] = await story.messages("out")
    assert len(said) == 24
    assert len({message.conversation_id for message in said}) == 24
    assert await story.rows(BotTurn) == []


@on_one_database
async def test_a_conversation_goes_on_in_the_version_of_the_flow_in_which_it_began(line: Line) -> None:
    line = await set_up(line)
    story = await Story.begin(line)
    source = (
        'name = "mine"\nlanguages = ["en"]\n[start]\nwords = ["begin it"]\n'
        '[[steps]]\nid = "a"\ndo = "ask"\nkind = "text"\nkeep = "a"\ntext = { en = "What?" }\n'
        '[[steps]]\nid = "b"\ndo = "say"\ntext = { en = "Old {a}" }\n'
    )
    async with line.database.write() as session:
        await save_flow(session, line, source, "", None)
        await switch(session, line, "mine", True)
    await story.customer_writes("begin it please")
    async with line.database.write() as session:
        await save_flow(session, line, source.replace("Old", "New").replace('"b"', '"c"'), "mine", None)
    await story.customer_writes("thing")
    await story.customer_writes("begin it please", author="other")
    await story.customer_writes("thing", author="other")
    assert texts(story) == ["What?", "Old thing", "What?", "New thing"]


@on_one_database
async def test_a_resolved_or_forgotten_flow_is_over(line: Line) -> None:
    clock = Clock(SUNDAY)
    line = await set_up(line, "callback", clock=clock)
    story = await Story.begin(line)
    amina = await story.agent("Amina", presence="offline")
    await story.customer_writes("please call me back")
    clock.forward(hours=25)
    await story.customer_writes("0550123456")
    assert len(texts(story)) == 1, "the question was asked too long ago"
    await story.customer_writes("please call me back")
    async with line.database.write() as session:
        conversation = await session.merge(await story.conversation())
        await resolve(session, line, conversation, amina)
    assert (await story.conversation()).handler == "closed"
    await drain(line)
    assert [row.step for row in await story.rows(BotTurn)] == []
