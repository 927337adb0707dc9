"""Rules on what happens to a conversation, on silence and after a wait: each as a story."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import (
    Case,
    Conversation,
    ConversationEvent,
    Message,
    OutboxItem,
    RuleRun,
    RuleSuggestion,
    RuleTask,
    RuleTrace,
    Survey,
)
from socialcrm.engine import rulebook
from socialcrm.engine.line import Line
from socialcrm.engine.react import react
from socialcrm.engine.schedule import STEPS, drain
from socialcrm.engine.silence import listen
from tests.engine.ruled import begin, labels, rule, runs
from tests.engine.scripted import on_one_database
from tests.servers.mail import HOST, smtp_server
from tests.story import Story

GREETINGS = {
    "fr": "Bonjour, ma facture est arrivée hier, merci de vérifier le montant",
    "ar": "السلام عليكم، وصلتني الفاتورة أمس وأريد التحقق من المبلغ",
    "en": "Hello, my bill came yesterday and I would like to check the amount",
    "arq-Latn": "salam, lfatoura li jatni lbareh rahi ghalya bezzaf, chofo m3aya",
}
TEXTS = {"fr": "Toujours là ?", "ar": "هل ما زلت هنا؟", "en": "Still there?", "arq-Latn": "Mazalek hna ?"}
CHANNELS = [("echo", "direct_message"), ("echo", "comment"), ("forgetful", "direct_message")]


@on_one_database
@pytest.mark.parametrize(("connector", "kind"), CHANNELS)
async def test_a_customer_who_falls_silent_is_asked_once_in_their_language_and_then_let_go(
    line: Line, connector: str, kind: str
) -> None:
    asks = rule(
        "Silent for three days",
        [
            {"do": "reply", "texts": TEXTS},
            {"do": "wait", "minutes": 1440, "is_for_silence": True},
            {"do": "resolve"},
        ],
        on="customer_silent",
        silence_minutes=3 * 1440,
    )
    story, clock = await begin(line, asks, connector=connector, survey={"is_on": False})
    amina = await story.agent("Amina")
    for language, text in GREETINGS.items():
        await story.customer_writes(text, author=language, kind=kind, drains=False)
    await drain(story.line)
    for number in range(1, 5):
        await answers(story, amina, number, "Je regarde.")
    clock.forward(days=2, hours=23)
    await drain(story.line)
    assert not [m for m in await story.messages("out") if m.author_kind == "rule"]
    clock.forward(hours=2)
    await drain(story.line)
    asked = {m.conversation_id: m.text for m in await story.messages("out") if m.author_kind == "rule"}
    people = {c.id: c.thread_key.rpartition(":")[2] for c in await story.rows(Conversation)}
    assert {people[number]: text for number, text in asked.items()} == {
        language: TEXTS[language] for language in GREETINGS
    }
    await story.customer_writes(GREETINGS["en"], author="en", kind=kind)
    clock.forward(days=1, minutes=1)
    await drain(story.line)
    states = {people[c.id]: c.status for c in await story.rows(Conversation)}
    assert states == {language: "open" if language == "en" else "resolved" for language in GREETINGS}
    cancelled = [task.reason for task in await story.rows(RuleTask) if task.status == "cancelled"]
    assert cancelled == ["the customer wrote"]


async def answers(story: Story, agent: Any, conversation_id: int, text: str) -> None:
    from socialcrm.engine.answer import reply

    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, conversation_id)
        await reply(session, story.line, conversation, text, agent, f"{conversation_id}:{text}")
    await drain(story.line)


async def test_a_silence_of_agents_counts_once_however_often_the_customer_writes_and_the_next_one_again(
    line: Line,
) -> None:
    late = rule(
        "Nothing for half an hour",
        [{"do": "priority", "priority": "urgent"}, {"do": "note", "text": "Waits for half an hour."}],
        on="agent_silent",
        silence_minutes=30,
    )
    story, clock = await begin(line, late)
    amina = await story.agent("Amina")
    await story.customer_writes("hello, is anybody there")
    clock.forward(minutes=29)
    await drain(story.line)
    assert (await story.conversation()).priority == "normal"
    clock.forward(minutes=2)
    await drain(story.line)
    assert (await story.conversation()).priority == "urgent"
    await story.customer_writes("hello again")
    clock.forward(minutes=40)
    await drain(story.line)
    assert [m.text for m in await story.messages("note")] == ["Waits for half an hour."]
    await story.agent_answers(amina, "Here I am.")
    await story.customer_writes("thank you, and one more thing")
    clock.forward(minutes=31)
    await drain(story.line)
    assert len(await story.messages("note")) == 2
    assert await runs(story, "agent_silent") == [[("Nothing for half an hour", True)]] * 2


@on_one_database
async def test_what_fell_silent_before_a_rule_was_there_is_left_alone(line: Line) -> None:
    from socialcrm.domain.rulebook import read
    from socialcrm.engine import rulebook

    story, clock = await begin(line)
    await story.customer_writes("hello, is anybody there")
    clock.forward(days=3)
    late = rule("Late", [{"do": "label", "labels": ["late"]}], on="agent_silent", silence_minutes=60)
    async with story.line.database.write() as session:
        await rulebook.save(session, story.line, read(late, "Rule"), None)
    clock.forward(days=1)
    await drain(story.line)
    assert await labels(story) == []
    await story.customer_writes("hello from somebody else", author="nadia")
    clock.forward(hours=2)
    await drain(story.line)
    assert await labels(story) == ["late"]


@on_one_database
async def test_a_silence_whose_conditions_do_not_hold_yet_is_looked_at_again(line: Line) -> None:
    late = rule(
        "Late, by day",
        [{"do": "label", "labels": ["late"]}],
        on="agent_silent",
        silence_minutes=30,
        when={"field": "hours", "op": "within", "value": "08:00-18:00"},
    )
    story, clock = await begin(line, late)
    clock.forward(hours=8)  # nine in the evening
    await story.customer_writes("hello, is anybody there")
    clock.forward(minutes=31)
    assert await listen(story.line) == 1
    assert await listen(story.line) == 0, "it does not look all the time"
    assert await labels(story) == []
    clock.forward(hours=12)
    await drain(story.line)
    assert await labels(story) == ["late"]


async def test_a_low_score_brings_the_conversation_back_with_priority(line: Line) -> None:
    low = rule(
        "Low score",
        [{"do": "reopen"}, {"do": "priority", "priority": "urgent"}, {"do": "team", "team": "commercial"}],
        on="survey_answered",
        when={"all": [{"field": "survey_score", "op": "at_most", "value": 2}]},
    )
    story, _ = await begin(line, low)
    amina = await story.agent("Amina")
    for author, place in (("lyes", 0), ("nadia", 4)):
        await story.customer_writes("hello, a question about my plan", author=author)
        await story.agent_answers(amina, "Here is the answer.")
        await story.agent_resolves(amina)
        buttons = [row for row in story.sent() if row.get("buttons")][-1]["buttons"]
        await story.customer_presses(list(dict(map(tuple, buttons)).values())[place], author=author)
        await drain(story.line)
    first, second = await story.rows(Conversation)
    assert (first.status, first.priority, second.status) == ("open", "urgent", "resolved")
    assert [survey.score for survey in await story.rows(Survey)] == [1, 5]
    tried = [run.lines[0] for run in await story.rows(RuleRun) if run.event == "survey_answered"]
    assert [(entry["fired"], entry["because"]) for entry in tried] == [
        (True, "all its conditions hold"),
        (False, "the score given is 5, more than 2"),
    ]


@on_one_database
async def test_an_event_is_followed_after_the_message_that_caused_it_was_understood(line: Line) -> None:
    opened = rule("Angry start", [{"do": "label", "labels": ["angry"]}], on="opened", when={"sentiment": ["negative"]})
    story, _ = await begin(line, opened)
    from socialcrm.engine.ingest import ingest

    await story.customer_writes("My internet has been down for three days, this is unacceptable!", drains=False)
    await ingest(story.line)
    assert await react(story.line) == 0, "nobody has read it yet"
    await drain(story.line)
    assert await labels(story) == ["angry"]
    assert await react(story.line) == 0


async def test_rules_that_start_each_other_come_to_an_end(line: Line) -> None:
    """Such rules are refused when they are saved; if they are there all the same, they stop after three."""
    again = rule("Open again", [{"do": "reopen"}], on="resolved")
    close = rule("Close again", [{"do": "resolve"}], on="reopened")
    story, _ = await begin(line, again, close, survey={"is_on": False})
    amina = await story.agent("Amina")
    await story.customer_writes("hello, a question about my plan")
    await story.agent_resolves(amina)
    kinds = [e.kind for e in await story.rows(ConversationEvent) if e.kind in ("resolved", "reopened")]
    assert kinds == ["resolved", "reopened", "resolved", "reopened"]
    [last] = [run.lines for run in await story.rows(RuleRun)][-1:]
    assert last[0]["because"] == "3 rules started each other: stopped here"


async def test_a_rule_with_limits_stops_at_them(line: Line) -> None:
    thanks = rule("Note", [{"do": "note", "text": "seen"}], most_per_conversation=2, most_per_person_a_day=3)
    story, clock = await begin(line, thanks)
    for thread in ("a", "a", "a", "b", "c"):
        await story.customer_writes("hello there", thread=thread)
    notes = [m.conversation_id for m in await story.messages("note")]
    assert notes == [1, 1, 2]
    reasons = [(await story.trace(m))[0]["because"] for m in await story.messages()]
    assert reasons[2] == "it fired 2 times in this conversation, which is its limit"
    assert reasons[4] == "it fired 3 times for this person within a day, which is its limit"
    clock.forward(days=1, minutes=1)
    await story.customer_writes("hello there", thread="c")
    assert len(await story.messages("note")) == 4


async def test_limits_hold_when_two_processes_read_one_batch_each(line: Line, pipeline: Pipeline) -> None:
    once = rule("Once a day", [{"do": "note", "text": "seen"}], most_per_person_a_day=1)
    story, clock = await begin(line, once)
    for author in range(6):
        for thread in range(3):
            await story.customer_writes("hello there", author=f"a{author}", thread=f"{author}-{thread}", drains=False)
    async with open_line(line.settings, pipeline=pipeline) as other:
        second = replace(other, engagement=story.line.engagement, now=clock)
        first = replace(story.line, settings=story.line.settings)
        while any(await asyncio.gather(*(step(each) for step in STEPS[:3] for each in (first, second)))):
            pass
    notes = await story.messages("note")
    assert sorted(m.contact_id for m in notes) == sorted({m.contact_id for m in await story.messages()})


@on_one_database
async def test_a_comment_is_hidden_and_its_author_answered_in_private(line: Line) -> None:
    hides = rule(
        "Insults",
        [{"do": "private_reply", "texts": {"en": "Please write to us here, {name}."}}, {"do": "hide"}],
        when={"field": "words", "op": "any_of", "value": ["thieves"]},
    )
    story, _ = await begin(line, hides)
    await story.customer_writes("you are thieves", kind="comment", thread="post-1")
    [message] = await story.messages()
    assert message.hidden_at is not None
    assert [row["text"] for row in story.sent()] == ["Please write to us here, Lyes."]
    assert [item.action for item in await story.rows(OutboxItem)] == ["private_reply"]
    [acted] = [e for e in await story.rows(ConversationEvent) if e.kind == "acted"]
    assert (acted.agent_id, acted.data["deed"]) == (None, "hide")
    await story.customer_writes("you are thieves too", thread="dm")
    assert "only what is public can be hidden" in str(await story.trace((await story.messages())[-1]))


@on_one_database
async def test_a_snoozed_conversation_wakes_up_at_its_time_or_when_the_customer_writes(line: Line) -> None:
    sleeps = rule(
        "Sleep", [{"do": "snooze", "minutes": 60}], when={"field": "words", "op": "any_of", "value": ["later"]}
    )
    story, clock = await begin(line, sleeps)
    await story.customer_writes("later please")
    assert (await story.conversation()).status == "snoozed"
    clock.forward(minutes=61)
    await drain(story.line)
    assert (await story.conversation()).status == "open"
    await story.customer_writes("later please", author="nadia")
    await story.customer_writes("now please", author="nadia")
    assert (await story.conversation()).status == "open"
    clock.forward(minutes=61)
    await drain(story.line)
    assert {task.status for task in await story.rows(RuleTask)} == {"done"}


@on_one_database
async def test_what_a_rule_suggests_is_offered_to_whoever_answers(line: Line) -> None:
    from socialcrm.engine.suggest import Suggestions

    offers = rule("Refund", [{"do": "suggest", "texts": {"en": "Your refund is on its way.", "fr": "Remboursé."}}])
    story, _ = await begin(line, offers)
    await story.customer_writes("Hello, when do I get my refund please?")
    [row] = await story.rows(RuleSuggestion)
    assert row.text == "Your refund is on its way."
    found = await Suggestions(story.line).offers(1)
    assert [(offer.source, offer.text) for offer in found] == [(f"rule:{row.id}", row.text)]


@on_one_database
async def test_a_mail_goes_to_the_team_and_again_only_to_whom_it_did_not_reach(line: Line) -> None:
    tells = rule("Tell", [{"do": "mail", "to": ["team", "boss@example.com"], "subject": "Angry", "text": "Look."}])
    route = rule("Route", [{"do": "team", "team": "support"}])
    async with smtp_server(has_auth=False) as server:
        mail = {"host": HOST, "port": server.port, "security": "none", "sender": "crm@shop.example"}
        story, clock = await begin(line, route, tells, mail=mail)
        await story.agent("Amina", presence="offline")
        server.answers = {"RCPT": "451 not now"}
        await story.customer_writes("hello there")
        [task] = await story.rows(RuleTask)
        assert (task.status, server.mails) == ("waiting", [])
        server.answers = {}
        clock.forward(minutes=2)
        await drain(story.line)
    [task] = await story.rows(RuleTask)
    assert task.status == "done"
    told = {command for command in server.commands if command.startswith("RCPT")}
    assert told == {"RCPT TO:<amina@example.com>", "RCPT TO:<boss@example.com>"}
    assert len(server.mails) == 2
    assert all(b"/inbox/1" in mail and b"Angry" in mail for mail in server.mails)


class Crash(Exception):
    """The process was killed."""


def everything() -> list[dict[str, Any]]:
    """A rule set in which one message and one resolution start all kinds of actions."""
    return [
        rule(
            "All at once",
            [
                {"do": "team", "team": "technique"},
                {"do": "priority", "priority": "high"},
                {"do": "label", "labels": ["seen"]},
                {"do": "case"},
                {"do": "reply", "template": "acknowledgement"},
                {"do": "note", "text": "noted"},
                {"do": "suggest", "texts": {"en": "Try to restart it."}},
                {"do": "wait", "minutes": 10},
                {"do": "label", "labels": ["waited"]},
                {"do": "resolve"},
            ],
        ),
        rule("After", [{"do": "label", "labels": ["ended"]}, {"do": "note", "text": "ended"}], on="resolved"),
        rule("Slow", [{"do": "label", "labels": ["slow"]}], on="agent_silent", silence_minutes=5),
    ]


async def state(story: Story) -> dict[str, Any]:
    """What there is in the end, without numbers and times."""
    [conversation] = await story.rows(Conversation)
    return {
        "conversation": (conversation.status, conversation.priority, conversation.labels, conversation.message_count),
        "messages": sorted((m.direction, m.author_kind, m.text[:20]) for m in await story.rows(Message)),
        "outbox": len(await story.rows(OutboxItem)),
        "cases": len(await story.rows(Case)),
        "events": sorted(e.kind for e in await story.rows(ConversationEvent)),
        "tasks": [task.status for task in await story.rows(RuleTask)],
        "runs": [run.event for run in await story.rows(RuleRun)],
        "suggestions": len(await story.rows(RuleSuggestion)),
        "sent": len(story.sent()),
    }


@on_one_database
@pytest.mark.parametrize("deaths", [4, pytest.param(1000, marks=pytest.mark.slow)])
async def test_killed_before_a_commit_and_started_again_it_ends_in_the_same_state(
    line: Line, fresh_database: Callable[[], str], deaths: int
) -> None:
    """A transaction of the story is the one in which the process dies; in the slow test each of them once."""

    async def play(url: str, dies_at: int) -> tuple[dict[str, Any], int]:
        folder = line.settings.storage.folder / str(dies_at)
        storage = line.settings.storage.model_copy(update={"database": url, "folder": folder})
        settings = line.settings.model_copy(update={"storage": storage})
        commits, is_armed = 0, False

        async def before_commit(session: AsyncSession) -> None:
            nonlocal commits
            if is_armed:
                commits += 1
                if commits == dies_at:
                    raise Crash

        async with open_line(settings, pipeline=line.pipeline) as own:
            story, clock = await begin(own, *everything(), survey={"is_on": False})
            await story.customer_writes("My internet has been down for three days, this is unacceptable!", drains=False)
            own.database.before_commit.append(before_commit)
            is_armed = True
            for minutes in (0, 6, 5, 1):
                clock.forward(minutes=minutes)
                await until_quiet(story.line)
            is_armed = False
            return await state(story), commits

    whole, commits = await play(fresh_database(), 0)
    assert whole["conversation"][0] == "resolved"
    assert whole["conversation"][2] == ["seen", "slow", "waited", "ended"]
    for dies_at in range(1, commits + 1, max(commits // deaths, 1)):
        assert (await play(fresh_database(), dies_at))[0] == whole, f"killed before commit {dies_at}"


async def until_quiet(line: Line) -> None:
    """Run the line; a crash ends one round, as a supervisor would start the process again."""
    for _ in range(50):
        try:
            if not await drain(line):
                return
        except Crash:
            continue
    raise AssertionError("the line never came to rest")


async def test_events_are_followed_once_by_however_many_processes(line: Line, pipeline: Pipeline) -> None:
    notes = rule("Note", [{"do": "note", "text": "opened"}], on="opened")
    story, clock = await begin(line, notes)
    for author in range(12):
        await story.customer_writes("hello there", author=f"a{author}", drains=False)
    for step in STEPS[:3]:
        while await step(story.line):
            pass
    async with open_line(line.settings, pipeline=pipeline) as other:
        second = replace(other, engagement=story.line.engagement, now=clock)
        while any(await asyncio.gather(react(story.line), react(second), react(story.line))):
            pass
    assert sorted(m.conversation_id for m in await story.messages("note")) == list(range(1, 13))


async def test_why_rules_did_something_is_forgotten_after_its_time_and_the_rest_is_kept(line: Line) -> None:
    story, clock = await begin(line, rule("Note", [{"do": "note", "text": "opened"}], on="opened"))
    await story.customer_writes("an old one", author="old")
    clock.forward(days=400)
    await story.customer_writes("a new one", author="new")
    async with line.database.write() as session:
        assert await rulebook.forget(session, clock() - timedelta(days=365)) == 2
    async with line.database.write() as session:
        assert await rulebook.forget(session, clock() - timedelta(days=365)) == 0
    newest = (await story.conversation()).id
    assert [trace.conversation_id for trace in await story.rows(RuleTrace)] == [newest]
    assert [run.conversation_id for run in await story.rows(RuleRun)] == [newest]
