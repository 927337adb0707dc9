"""Polling: events and cursor together, trouble where an admin sees it, and never two polls of one channel at once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import AuthExpired, Page, RawEvent, Refused, TryLater
from socialcrm.domain.rows import Channel, RawEventRow
from socialcrm.engine import collect
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable, drain
from tests.engine.scripted import Script, begin, on_one_database
from tests.story import Clock, Story, line_with


def page(*numbers: int, cursor: Any, more: bool = False) -> Page:
    events = tuple(RawEvent({"id": f"m-{n}", "author": "lyes", "text": f"n {n}"}) for n in numbers)
    return Page(events, cursor, more)


async def polled(line: Line) -> tuple[Story, Script, int]:
    story, script = await begin(line, "polled")
    return story, script, story.channel.id or 0


async def test_events_and_cursor_are_kept_together_and_the_next_poll_goes_on_from_there(line: Line) -> None:
    clock = Clock()
    story, script, number = await polled(line_with(line, clock))
    script.pages.extend([page(1, 2, cursor={"offset": 2}, more=True), page(3, cursor={"offset": 3})])
    while await collect.collect(story.line, number):
        pass
    channel = await story.channel_now()
    assert script.polled == [None, {"offset": 2}, {"offset": 3}]
    assert (channel.cursor, channel.succeeded_at) == ({"offset": 3}, clock.at)
    assert channel.poll_after_at == clock.at + timedelta(seconds=5), "nothing came: it waits a little"
    assert await collect.channels_due(story.line) == []
    await drain(story.line)
    assert [m.text for m in await story.messages()] == ["n 1", "n 2", "n 3"]
    assert (await story.channel_now()).received_at == clock.at


async def test_when_the_events_cannot_be_kept_the_cursor_stays(line: Line) -> None:
    story, script, number = await polled(line)
    unstorable = Page((RawEvent({"id": "1"}), RawEvent({2})), "after both")  # a set is no JSON
    script.pages.append(unstorable)
    with pytest.raises(TypeError):
        await collect.collect(line, number)
    channel = await story.channel_now()
    assert (channel.cursor, await story.rows(RawEventRow)) == (None, [])


@pytest.mark.parametrize(
    ("trouble", "shown", "wait"),
    [
        (TryLater("Conflict: terminated by other getUpdates request", 7), "Conflict", 7),
        (TryLater("busy"), "busy", 30),
        (Refused("no such account"), "no such account", 30),
        (ZeroDivisionError("secret"), "Internal error (ZeroDivisionError): see the log.", 30),
    ],
)
@on_one_database
async def test_trouble_is_shown_on_the_channel_and_cleared_by_the_next_success(
    line: Line, trouble: Exception, shown: str, wait: float
) -> None:
    clock = Clock()
    story, script, number = await polled(line_with(line, clock))
    script.pages.append(trouble)
    assert await collect.collect(story.line, number) == 0
    channel = await story.channel_now()
    assert channel.error.startswith(shown)
    assert (channel.error_at, channel.status) == (clock.at, "active")
    clock.forward(seconds=wait - 0.1)
    assert await collect.channels_due(story.line) == []
    clock.forward(seconds=0.1)
    assert await collect.channels_due(story.line) == [number]
    await collect.collect(story.line, number)
    assert (await story.channel_now()).error == ""


@on_one_database
async def test_an_expired_sign_in_stops_polling_until_it_is_connected_again(line: Line) -> None:
    clock = Clock()
    story, script, number = await polled(line_with(line, clock))
    script.pages.append(AuthExpired("Unauthorized"))
    await collect.collect(story.line, number)
    channel = await story.channel_now()
    assert (channel.status, channel.error) == ("signed_out", "Unauthorized")
    clock.forward(days=1)
    assert await collect.channels_due(story.line) == []
    assert await collect.collect(story.line, number) == 0
    assert len(script.polled) == 1


@on_one_database
async def test_a_platform_that_never_answers_is_given_up_before_anybody_else_may_poll(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "LONGEST_POLL", timedelta(seconds=20.1))
    story, script, number = await polled(line)
    script.gate = asyncio.Event()
    await collect.collect(line, number)
    assert (await story.channel_now()).error == "The platform did not answer in time."


async def test_two_processes_never_poll_a_channel_at_once(line: Line) -> None:
    _, script, number = await polled(line)
    script.gate = asyncio.Event()
    polls = [asyncio.create_task(collect.collect(line, number)) for _ in range(5)]
    async with asyncio.timeout(10):
        while sum(poll.done() for poll in polls) < 4:
            await asyncio.sleep(0.005)
    assert len(script.polled) == 1
    assert await collect.channels_due(line) == []
    script.gate.set()
    await asyncio.gather(*polls)
    assert len(script.polled) == 1


async def test_a_channel_that_cannot_be_opened_shows_why_and_stops_no_other(line: Line) -> None:
    """Its key was lost with the data folder, or its connector is gone from a newer version."""
    story, script, _ = await polled(line)
    script.pages.append(page(1, cursor=1))
    now = line.now()
    lost = Channel(connector="polled", key="lost", name="Lost", credentials="not ours", created_at=now, changed_at=now)
    gone = Channel(connector="pigeon", key="gone", name="Gone", created_at=now, changed_at=now)
    async with line.database.write() as session:
        session.add_all([lost, gone])
    timetable = Timetable(line)
    await timetable.start()
    try:
        async with asyncio.timeout(15):
            while not await story.messages() or sum(bool(c.error) for c in await story.rows(Channel)) < 2:
                await asyncio.sleep(0.02)
    finally:
        await timetable.stop()
    errors = {c.key: c.error for c in await story.rows(Channel)}
    assert errors["polled"] == ""
    assert "connect again" in errors["lost"]
    assert "pigeon" in errors["gone"]


@on_one_database
async def test_the_timetable_polls_ingests_and_answers_by_itself(line: Line) -> None:
    story, script, _ = await polled(line)
    script.pages.append(page(*range(20), cursor=20))
    script.pages.append(Page((RawEvent({"id": "q", "author": "nadia", "text": "what are your opening hours"}),), 21))
    timetable = Timetable(line)
    await timetable.start()
    try:
        async with asyncio.timeout(20):
            while not script.got or len(await story.messages()) < 21:
                await asyncio.sleep(0.02)
    finally:
        await timetable.stop()
    assert len(script.got) == 1
