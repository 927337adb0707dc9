"""The outbox: nothing is sent twice blindly, nothing is forgotten, and people read the platform's own words."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from connectors.base import AuthExpired, MaybeSent, Refused, Sent, TryLater
from socialcrm.domain.rows import Agent, Channel, Conversation, Message, OutboxItem
from socialcrm.engine import deliver
from socialcrm.engine.answer import CannotAnswer, mark_sent, retry
from socialcrm.engine.answer import reply as answer
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import STEPS, deliver_due, drain
from tests.engine.scripted import SCRIPTS, Script, begin, on_one_database
from tests.story import Clock, Story, line_with

pytestmark = pytest.mark.both_databases


async def queue(story: Story, texts: Sequence[str], author: str = "lyes") -> None:
    """Texts of an agent that wait to be sent to one customer."""
    await story.customer_writes("bonjour", author=author, thread=author, drains=False)
    while sum([await step(story.line) for step in STEPS]):
        pass
    agents = await story.rows(Agent)
    agent = agents[0] if agents else await story.agent("Amina")
    async with story.line.database.write() as session:
        conversation = next(c for c in await story.rows(Conversation) if c.thread_key == author)
        conversation = await session.get_one(Conversation, conversation.id)
        for text in texts:
            await answer(session, story.line, conversation, text, agent, text)


async def waiting(
    line: Line, *answers: Exception | asyncio.Event | None, texts: Sequence[str] = ("hi",)
) -> tuple[Story, Script]:
    """A story with texts to send, on a platform that will answer so."""
    story, script = await begin(line)
    await queue(story, texts)
    script.answers.extend(answers)
    return story, script


async def test_the_same_key_is_the_same_answer(line: Line) -> None:
    story, script = await begin(line)
    await story.customer_writes("bonjour")
    amina = await story.agent("Amina")
    first = await story.agent_answers(amina, "Bonjour !", key="click-1")
    second = await story.agent_answers(amina, "Bonjour !", key="click-1")
    other = await story.agent_answers(amina, "Bonjour !", key="click-2")
    assert first.id == second.id != other.id
    assert script.got == ["Bonjour !", "Bonjour !"]


@on_one_database
async def test_an_answer_that_cannot_be_sent_is_refused_with_a_sentence(line: Line) -> None:
    story, script = await begin(line)
    await story.customer_writes("bonjour")
    amina = await story.agent("Amina")
    with pytest.raises(CannotAnswer, match=r"5,000 characters; the text has 5,001"):
        await story.agent_answers(amina, "x" * 5001)
    with pytest.raises(CannotAnswer, match="nothing to send"):
        await story.agent_answers(amina, " \0\n")
    assert (script.got, await story.messages("out")) == ([], [])


@on_one_database
async def test_what_was_sent_is_written_down(line: Line) -> None:
    clock = Clock()
    story, script = await waiting(line_with(line, clock))
    clock.forward(seconds=9)
    await drain(story.line)
    [message] = await story.messages("out")
    assert (message.delivery, message.external_id, message.sent_at) == ("sent", "theirs:agent:hi", clock.at)
    [item] = await story.rows(OutboxItem)
    assert (item.status, item.sent_at, item.attempt_count) == ("sent", clock.at, 1)
    assert (await story.channel_now()).succeeded_at == clock.at
    assert script.got == ["hi"]


async def test_order_is_kept_inside_a_conversation_also_when_one_has_to_wait(line: Line) -> None:
    clock = Clock()
    story, script = await waiting(line_with(line, clock), None, TryLater("busy"), texts=("1", "2", "3"))
    await drain(story.line)
    await queue(story, ["other"], author="nadia")
    await drain(story.line)
    assert script.got == ["1", "other"]
    clock.forward(seconds=3)
    await drain(story.line)
    assert script.got == ["1", "other", "2", "3"]


@on_one_database
async def test_a_platform_that_says_how_long_is_waited_for_so_long_and_left_alone(line: Line) -> None:
    clock = Clock()
    story, script = await waiting(line_with(line, clock), TryLater("Too many requests", retry_after=35))
    await drain(story.line)
    assert await story.outbox() == [("waiting", "Too many requests")]
    assert (await story.messages("out"))[0].delivery_error == "Too many requests"
    await queue(story, ["me too"], author="nadia")
    clock.forward(seconds=34.9)
    await drain(story.line)
    assert script.tried == 1, "the whole channel should be quiet"
    clock.forward(seconds=0.1)
    await drain(story.line)
    assert (sorted(script.got), script.tried) == (["hi", "me too"], 3)
    assert (await story.channel_now()).error == ""


@on_one_database
async def test_without_a_time_the_wait_grows_the_others_go_on_and_it_is_given_up(line: Line) -> None:
    clock = Clock()
    attempts = 6
    story, script = await begin(line_with(line, clock, line={"max_attempts": attempts}))
    await queue(story, ["hi"])
    waits = []
    for _ in range(attempts):
        script.answers.append(TryLater("busy"))
        await drain(story.line)
        [item, *_] = await story.rows(OutboxItem)
        waits.append((item.due_at - clock.at).total_seconds())
        if item.status == "waiting":
            await queue(story, [f"at {item.attempt_count}"], author=f"a{item.attempt_count}")
            await drain(story.line)  # one item's trouble does not quieten the channel
            clock.at = item.due_at
    assert (script.tried - len(script.got), len(script.got)) == (attempts, attempts - 1)
    for attempt, wait in enumerate(waits[:-1], start=1):
        assert 2**attempt / 2 <= wait <= 2**attempt
    assert (await story.outbox())[0] == ("failed", "Given up after 6 attempts: busy")


def test_no_wait_is_longer_than_an_hour() -> None:
    for attempt in range(1, 2000, 37):
        assert 1 <= deliver.back_off(attempt) <= 3600


@on_one_database
async def test_a_refusal_is_shown_in_the_platforms_words_and_not_tried_again(line: Line) -> None:
    clock = Clock()
    story, script = await waiting(
        line_with(line, clock), Refused("Forbidden: bot was blocked by the user"), texts=("1", "2")
    )
    await drain(story.line)
    clock.forward(days=2)
    await drain(story.line)
    assert (script.tried, script.got) == (2, ["2"])
    first = (await story.messages("out"))[0]
    assert (first.delivery, first.delivery_error) == ("failed", "Forbidden: bot was blocked by the user")

    async with line.database.write() as session:
        await retry(session, story.line, await session.get_one(Message, first.id))
    await drain(story.line)
    assert script.got == ["2", "1"]
    with pytest.raises(CannotAnswer):
        async with line.database.write() as session:
            await retry(session, story.line, await session.get_one(Message, first.id))


async def test_a_channel_that_is_signed_out_keeps_its_queue_and_sends_it_after_reconnection(line: Line) -> None:
    story, script = await waiting(line, AuthExpired("The token was revoked."), texts=("1", "2"))
    await queue(story, ["3"], author="nadia")
    script.answers.append(AuthExpired("The token was revoked."))
    await drain(line)
    channel = await story.channel_now()
    assert (channel.status, channel.error) == ("signed_out", "The token was revoked.")
    assert {status for status, _ in await story.outbox()} == {"waiting"}
    await queue(story, ["4"], author="omar")  # what comes meanwhile is kept too, and incoming messages go on
    await drain(line)
    assert (script.got, script.tried) == ([], 2)
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id)
        row.status, row.error, row.changed_at = "active", "", line.now()
    await drain(line)
    assert sorted(script.got) == ["1", "2", "3", "4"]
    assert script.got.index("1") < script.got.index("2")


@on_one_database
async def test_new_credentials_that_another_process_wrote_are_used(line: Line) -> None:
    """A worker keeps connectors open; the web process changes the row."""
    story, old = await waiting(line)
    await drain(line)
    await queue(story, ["after"])
    async with line.database.write() as session:
        row = await session.get_one(Channel, story.channel.id)
        row.settings, row.changed_at = {**row.settings, "journal": "elsewhere"}, line.now()
    await deliver_due(line)
    assert (old.got, SCRIPTS["elsewhere"].got) == (["hi"], ["after"])


@pytest.mark.parametrize("decision", ["retry", "mark_sent"])
@on_one_database
async def test_nobody_knows_whether_it_was_sent_until_an_agent_decides(line: Line, decision: str) -> None:
    story, script = await waiting(line, MaybeSent("The connection was lost."), texts=("1", "2"))
    await drain(line)
    first = (await story.messages("out"))[0]
    assert (first.delivery, first.delivery_error) == ("unknown", "The connection was lost.")
    assert script.got == ["2"], "one that nobody knows of does not hold up the next"
    async with line.database.write() as session:
        decide = retry if decision == "retry" else mark_sent
        await decide(session, line, await session.get_one(Message, first.id))
    await drain(line)
    assert (await story.messages("out"))[0].delivery == "sent"
    assert script.got == (["2", "1"] if decision == "retry" else ["2"])


@on_one_database
async def test_a_platform_that_does_not_answer_leaves_it_unknown(line: Line) -> None:
    silence = asyncio.Event()
    story, script = await waiting(line_with(line, line={"send_timeout_seconds": 0.1}), silence)
    await drain(story.line)
    assert await story.outbox() == [("unknown", "The platform did not answer in time.")]
    assert (script.tried, script.got) == (1, [])


@on_one_database
async def test_a_mistake_of_ours_fails_one_text_and_is_logged(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    story, script = await waiting(line, ZeroDivisionError("text of the customer"), texts=("1", "2"))
    await drain(line)
    assert await story.outbox() == [("failed", "Internal error (ZeroDivisionError): see the log."), ("sent", "")]
    assert script.got == ["2"]
    assert "outbox item 1 could not be sent" in caplog.text


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def crashed(line: Line, connector: str, claimed_by: str) -> tuple[Story, Script]:
    """One text that a process had claimed when it was killed, and one after it."""
    story, script = await begin(line, connector)
    await queue(story, ["1", "2"])
    async with line.database.write() as session:
        values = {"status": "sending", "claimed_by": claimed_by, "claimed_at": line.now(), "attempt_count": 1}
        await session.execute(update(OutboxItem).where(col(OutboxItem.id) == 1).values(**values))
        await session.execute(update(Message).where(col(Message.direction) == "out").values(delivery="sending"))
    return story, script


async def test_after_a_crash_the_platform_is_asked_and_what_it_has_is_not_sent_again(line: Line) -> None:
    story, script = await crashed(line, "scripted", f"{deliver.HOST}:{dead_process()}")
    await deliver_due(line)
    assert script.tried == 0, "the second waits for the first"
    script.has["agent:1"] = Sent("theirs:42")
    assert await deliver.reconcile(line) == 1
    await drain(line)
    assert (script.got, script.asked) == (["2"], 1)
    assert (await story.messages("out"))[0].external_id == "theirs:42"
    assert [status for status, _ in await story.outbox()] == ["sent", "sent"]


@on_one_database
async def test_after_a_crash_what_the_platform_does_not_have_is_sent(line: Line) -> None:
    story, script = await crashed(line, "scripted", f"{deliver.HOST}:{dead_process()}")
    script.trouble = TryLater("busy")
    await deliver.reconcile(line)
    assert (await story.outbox())[0][0] == "sending", "it is asked again later"
    script.trouble = None
    await deliver.reconcile(line)
    await drain(line)
    assert script.got == ["1", "2"]


@on_one_database
async def test_after_a_crash_nothing_is_known_where_the_platform_cannot_be_asked(line: Line) -> None:
    story, script = await crashed(line, "forgetful", f"{deliver.HOST}:{dead_process()}")
    await deliver.reconcile(line)
    await drain(line)
    assert [status for status, _ in await story.outbox()] == ["unknown", "sent"]
    assert script.got == ["2"]


@on_one_database
async def test_after_a_crash_nothing_is_known_of_a_private_answer_to_a_comment(line: Line) -> None:
    story, script = await crashed(line, "scripted", f"{deliver.HOST}:{dead_process()}")
    async with line.database.write() as session:
        first = update(OutboxItem).where(col(OutboxItem.key) == "agent:1")
        await session.execute(first.values(action="private_reply"))
    await deliver.reconcile(line)
    assert (await story.outbox())[0] == ("unknown", "We stopped while it was being sent.")
    assert script.asked == 0, "the platform would look among what is public"


async def test_trouble_with_one_abandoned_text_does_not_keep_the_others_or_the_start(line: Line) -> None:
    """Reconciling is the first thing a process does: when it raised, nothing would ever start again."""
    pid = dead_process()
    story, script = await crashed(line, "scripted", f"{deliver.HOST}:{pid}")
    script.trouble = RuntimeError("a mistake of ours")
    other, script_2 = await begin(line, "scripted", "second")
    await queue(other, ["3"], author="nadia")
    async with line.database.write() as session:
        await session.execute(
            update(OutboxItem)
            .where(col(OutboxItem.key) == "agent:3")
            .values(status="sending", claimed_by=f"{deliver.HOST}:{pid}", claimed_at=line.now())
        )
    await deliver.reconcile(line)
    await drain(line)
    assert (await story.outbox())[0] == ("unknown", "Internal error (RuntimeError): see the log.")
    assert (script.got, script_2.got) == (["2"], ["3"])


@on_one_database
async def test_a_living_process_keeps_what_it_claimed_until_its_lease_is_over(line: Line) -> None:
    clock = Clock()
    late = line_with(line, clock, line={"lease_seconds": 300})
    _, script = await crashed(late, "scripted", f"{deliver.HOST}:{os.getppid()}")
    assert await deliver.reconcile(late) == 0
    clock.at += timedelta(seconds=301)
    assert await deliver.reconcile(late) == 1
    await drain(late)
    assert script.got == ["1", "2"]


async def test_a_result_that_comes_after_somebody_else_settled_it_changes_nothing(line: Line) -> None:
    gate = asyncio.Event()
    story, script = await waiting(line, gate)
    sending = asyncio.create_task(deliver_due(line))
    async with asyncio.timeout(10):
        while not script.tried:
            await asyncio.sleep(0.005)
    async with line.database.write() as session:
        await session.execute(update(OutboxItem).values(status="unknown", reason="the lease was over"))
    gate.set()
    await sending
    assert await story.outbox() == [("unknown", "the lease was over")]


async def test_a_slow_channel_does_not_delay_another(line: Line) -> None:
    gate = asyncio.Event()
    slow_story, slow = await waiting(line, gate)
    story, quick = await begin(line, key="quick")
    await queue(story, ["at once"], author="nadia")
    sending = asyncio.create_task(deliver_due(line))
    async with asyncio.timeout(10):
        while not quick.got:
            await asyncio.sleep(0.005)
    assert not sending.done()
    assert slow.got == []
    async with asyncio.timeout(10):
        while ("sent", "") not in await slow_story.outbox():
            await asyncio.sleep(0.005)
    gate.set()
    await sending
    assert slow.got == ["hi"]


async def test_two_processes_never_send_the_same_text(line: Line) -> None:
    story, script = await begin(line)
    for number in range(20):
        await queue(story, [f"{number}"], author=f"a{number}")
    while sum(await asyncio.gather(*(deliver.deliver(line, story.channel.id or 0) for _ in range(4)))):
        pass
    assert sorted(script.got) == sorted(str(number) for number in range(20))
    assert {item.attempt_count for item in await story.rows(OutboxItem)} == {1}
