"""Probes, lost sign-ins, reading back, watched words and lateness: what keeps a channel honest about itself."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.base import Account, AuthExpired, Page, Quota, RawEvent, Refused, TryLater
from socialcrm.domain.rows import Channel, RawEventRow
from socialcrm.engine import backfill, collect, probe
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from socialcrm.reports.answers import overall_wait
from socialcrm.reports.filters import read_filters
from tests.engine.scripted import Script, begin, on_one_database
from tests.story import Clock, Story, line_with

QUESTION = "what are your opening hours"
"""The FAQ answers it by itself."""


def event(number: str, text: str = "salam", **more: Any) -> RawEvent:
    return RawEvent({"id": number, "author": f"author of {number}", "text": text, **more})


async def versatile(line: Line, clock: Clock | None = None) -> tuple[Story, Script, int, Clock]:
    clock = clock or Clock()
    story, script = await begin(line_with(line, clock), "versatile")
    return story, script, story.channel.id or 0, clock


async def change(story: Story, **values: Any) -> None:
    async with story.line.database.write() as session:
        channel = await session.get_one(Channel, story.channel.id)
        for name, value in values.items():
            setattr(channel, name, value)


async def test_a_probe_learns_who_we_are_and_is_made_once_a_day_however_many_processes_there_are(line: Line) -> None:
    story, script, _, clock = await versatile(line)
    ends = clock.at + timedelta(days=5)
    script.account = Account("1", "@shop", ends, ("read_more",))
    script.quota = Quota(3, 10, clock.at + timedelta(minutes=15))
    made = await asyncio.gather(*(probe.probe_next(story.line) for _ in range(4)))
    channel = await story.channel_now()
    assert (sum(made), script.connected) == (1, 1)
    assert (channel.account_name, channel.token_ends_at, channel.missing_scopes) == ("@shop", ends, ["read_more"])
    assert (channel.probed_at, channel.quota) == (
        clock.at,
        {"used": 3, "limit": 10, "resets_at": (clock.at + timedelta(minutes=15)).isoformat(), "unit": "calls"},
    )
    clock.forward(hours=23, minutes=59)
    assert await probe.probe_next(story.line) == 0
    clock.forward(minutes=1)
    assert await probe.probe_next(story.line) == 1


@on_one_database
async def test_a_channel_that_was_connected_anew_is_probed_at_once(line: Line) -> None:
    story, script, _, clock = await versatile(line)
    await probe.probe_next(story.line)
    clock.forward(seconds=1)
    await change(story, changed_at=clock.at)
    assert await probe.probe_next(story.line) == 1
    assert await probe.probe_next(story.line) == 0
    assert script.connected == 2


@pytest.mark.parametrize("trouble", [Refused("Permission is missing: read."), TryLater("Busy.", 5)])
@on_one_database
async def test_trouble_of_a_probe_is_said_and_polling_neither_stops_nor_hides_it(
    line: Line, trouble: Exception
) -> None:
    story, script, number, clock = await versatile(line)
    script.account = trouble
    await probe.probe_next(story.line)
    await collect.collect(story.line, number)
    channel = await story.channel_now()
    assert (channel.probe_error, channel.error, channel.status) == (str(trouble), "", "active")
    clock.forward(hours=1)
    script.account = Account("1", "@shop")
    assert await probe.probe_next(story.line) == 1
    assert (await story.channel_now()).probe_error == ""


@on_one_database
async def test_of_channels_that_are_due_together_each_waits_its_turn(line: Line) -> None:
    story, _, _, clock = await versatile(line)
    now = clock.at
    async with line.database.write() as session:
        session.add_all(
            [
                Channel(connector="scripted", key=key, name=key, created_at=now, changed_at=now, status=status)
                for key, status in (("second", "active"), ("paused", "paused"), ("lost", "signed_out"))
            ]
        )
    assert [await probe.probe_next(story.line) for _ in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("where", ["poll", "delivery", "probe", "search"])
@on_one_database
async def test_a_lost_sign_in_stops_the_channel_wherever_it_shows_and_keeps_what_waits(line: Line, where: str) -> None:
    story, script, number, clock = await versatile(line)
    await collect.collect(story.line, number)
    heard_at = clock.at
    clock.forward(hours=2)
    lost = AuthExpired("Token is gone.")
    if where == "poll":
        script.pages.append(lost)
        await collect.collect(story.line, number)
    elif where == "search":
        await change(story, settings={**story.channel.settings, "watch": ["#shop"]})
        script.finds.append(lost)
        await collect.collect(story.line, number)
    elif where == "probe":
        script.account = lost
        await probe.probe_next(story.line)
    script.answers.append(lost)
    await story.customer_writes(QUESTION)
    channel = await story.channel_now()
    assert (channel.status, channel.error, channel.lost_at) == ("signed_out", "Token is gone.", clock.at)
    if where != "delivery":
        assert channel.backfill_since_at == heard_at, "from the last time that we heard the platform"
    assert [status for status, _ in await story.outbox()] == ["waiting"]
    assert await collect.channels_due(story.line) == await backfill.channels_due(story.line) == []
    assert await probe.probe_next(story.line) == 0


async def lose_and_return(story: Story, script: Script, number: int, clock: Clock, **away: float) -> None:
    """Heard once, then signed out for a while, then connected again."""
    await collect.collect(story.line, number)
    clock.forward(minutes=10)
    script.pages.append(AuthExpired("gone"))
    await collect.collect(story.line, number)
    clock.forward(**away)
    await change(story, status="active", error="", changed_at=clock.at, succeeded_at=clock.at, poll_after_at=None)


async def test_what_was_missed_is_read_back_once_marked_late_and_never_twice(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    began = clock.at
    await lose_and_return(story, script, number, clock, hours=5)
    old = (began + timedelta(hours=1)).isoformat()
    script.past = [Page((event("1", sent_at=old), event("2", sent_at=old))), Page((event("3", sent_at=old),))]
    script.pages.append(Page((event("2", sent_at=old),), "after"))
    assert await backfill.channels_due(story.line) == [number]
    taken = await asyncio.gather(*(backfill.backfill(story.line, number) for _ in range(3)))
    await collect.collect(story.line, number)
    await drain(story.line)
    assert (sorted(taken), script.since) == ([0, 0, 3], [began])
    assert await backfill.channels_due(story.line) == []
    assert [(m.external_id, m.is_late) for m in await story.messages()] == [("1", True), ("2", True), ("3", True)]
    assert sorted(fate for fate, _ in await story.fates()) == ["duplicate", "stored", "stored", "stored"]
    await story.customer_writes("salam")
    assert (await story.messages())[-1].is_late is False


async def test_a_reading_that_a_crash_ended_begins_anew_and_stores_nothing_twice(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    await lose_and_return(story, script, number, clock, hours=5)
    script.past = [Page((event("1"), event("2"))), asyncio.CancelledError()]
    with pytest.raises(asyncio.CancelledError):
        await backfill.backfill(story.line, number)
    assert await backfill.channels_due(story.line) == [], "somebody may be at it still"
    clock.forward(minutes=10)
    script.past = [Page((event("1"), event("2"))), Page((event("3"),))]
    await backfill.backfill(story.line, number)
    await drain(story.line)
    assert [m.external_id for m in await story.messages()] == ["1", "2", "3"]


@on_one_database
async def test_a_platform_that_asks_to_wait_is_obeyed_and_what_it_gave_is_kept(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    await lose_and_return(story, script, number, clock, days=90)
    script.past = [Page((event("1"),)), TryLater("Slowly.", 120)]
    await backfill.backfill(story.line, number)
    assert script.since == [clock.at - timedelta(days=30)], "no further back than a month"
    assert len(await story.rows(RawEventRow)) == 1
    clock.forward(seconds=119)
    assert await backfill.channels_due(story.line) == []
    clock.forward(seconds=1)
    assert await backfill.channels_due(story.line) == [number]
    script.past = [Refused("Not that far.")]
    await backfill.backfill(story.line, number)
    channel = await story.channel_now()
    assert (channel.probe_error, channel.backfill_since_at) == ("Not that far.", None)


@pytest.mark.parametrize(
    ("away", "late"),
    [({"hours": 5}, True), ({"minutes": 30}, False)],
)
@on_one_database
async def test_without_a_reading_back_the_cursor_catches_up_and_lateness_is_marked_all_the_same(
    line: Line, away: dict[str, float], late: bool
) -> None:
    """For whatever reason we were away: here because an admin paused the channel."""
    clock = Clock()
    story, script = await begin(line_with(line, clock), "polled")
    number = story.channel.id or 0
    await collect.collect(story.line, number)
    written = clock.at + timedelta(minutes=1)
    await change(story, status="paused")
    clock.forward(**away)
    await change(story, status="active", poll_after_at=None)
    script.pages.append(Page((event("1", sent_at=written.isoformat()),), 1))
    await collect.collect(story.line, number)
    await drain(story.line)
    assert [m.is_late for m in await story.messages()] == [late]


@on_one_database
async def test_what_was_written_before_the_channel_was_connected_is_late(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    old = (clock.at - timedelta(days=3)).isoformat()
    script.pages.append(Page((event("old", sent_at=old), event("new", sent_at=clock.at.isoformat())), 1))
    await collect.collect(story.line, number)
    await drain(story.line)
    assert [(m.external_id, m.is_late) for m in await story.messages()] == [("old", True), ("new", False)]


@on_one_database
async def test_how_long_customers_wait_is_not_reckoned_from_late_or_found_messages(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    await lose_and_return(story, script, number, clock, hours=5)
    nadia = await story.agent("Nadia")
    script.past = [Page((event("1", sent_at=(clock.at - timedelta(hours=4)).isoformat()),))]
    await backfill.backfill(story.line, number)
    await drain(story.line)
    await story.agent_answers(nadia, "Pardon !")
    filters = read_filters({"days": "7"}, clock.at, ZoneInfo("Africa/Algiers"))
    async with story.line.database.read() as session:
        assert await overall_wait(session, filters) == (0, None)
    await story.customer_writes("salam", author="another")
    await story.agent_answers(nadia, "Salam !")
    async with story.line.database.read() as session:
        assert (await overall_wait(session, filters))[0] == 1


@pytest.mark.parametrize(("kind", "answered"), [("direct_message", True), ("comment", False)])
@on_one_database
async def test_a_late_public_comment_is_left_to_people_and_a_late_private_message_is_answered(
    line: Line, kind: str, answered: bool
) -> None:
    story, script, number, clock = await versatile(line)
    await lose_and_return(story, script, number, clock, hours=5)
    old = (clock.at - timedelta(hours=4)).isoformat()
    script.past = [Page((event("1", QUESTION, sent_at=old, kind=kind),))]
    await backfill.backfill(story.line, number)
    await drain(story.line)
    (message,) = await story.messages()
    assert bool(await story.outbox()) == answered
    because = {line["because"] for line in await story.trace(message)}
    assert ("it is public, and was written while we were away" in because) != answered


async def test_watched_words_are_searched_in_turn_with_a_cursor_each(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    await change(story, settings={**story.channel.settings, "watch": ["#shop", "shop slow"]})
    script.finds.extend(
        [Page((event("f1", QUESTION, kind="mention"),), "a"), Page((), "b"), Refused("Too long."), Page((), "c")]
    )
    for _ in range(4):
        await collect.collect(story.line, number)
        clock.forward(minutes=10)
    await drain(story.line)
    assert script.searched == [("#shop", None), ("shop slow", None), ("#shop", "a"), ("shop slow", "b")]
    channel = await story.channel_now()
    assert {word: (s["cursor"], s["error"]) for word, s in channel.watch_cursors.items()} == {
        "#shop": ("a", "Too long."),
        "shop slow": ("c", ""),
    }
    (message,) = await story.messages()
    assert (message.is_found, await story.outbox()) == (True, []), "found, not written to us: nothing answers it"
    assert channel.error == "", "trouble of a search is no trouble of the channel"


@on_one_database
async def test_our_own_post_with_a_watched_word_opens_no_conversation(line: Line) -> None:
    story, script, number, _ = await versatile(line)
    await change(story, settings={**story.channel.settings, "watch": ["#shop"]})
    script.finds.append(Page((event("own", is_self=True),), "a"))
    await collect.collect(story.line, number)
    await drain(story.line)
    assert await story.fates() == [("ignored", "a post of our own with a watched word in it")]


@on_one_database
async def test_polls_come_seldom_in_silence_sooner_after_news_and_never_faster_than_the_quota_lasts(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    waits = []

    async def poll(*events: RawEvent) -> None:
        script.pages.append(Page(events, "cursor"))
        await collect.collect(story.line, number)
        due = (await story.channel_now()).poll_after_at or clock.at
        waits.append((due - clock.at).total_seconds())
        clock.at = due

    for _ in range(5):
        await poll()
    await poll(event("1"))
    assert waits == [60, 120, 240, 480, 600, 300]
    script.quota = Quota(78, 100, clock.at + timedelta(hours=1))
    await poll(event("2"))
    assert waits[-1] == 1800, "two more polls in an hour are 80 of 100 calls"
    script.quota = None
    await poll()
    assert waits[-1] == 300, "and that changed nothing of the pace"


@on_one_database
async def test_quotas_that_platforms_tell_are_kept_for_the_pages(line: Line) -> None:
    story, script, number, clock = await versatile(line)
    await collect.collect(story.line, number)
    script.quota = quota = Quota(40, 100, clock.at + timedelta(hours=1), "units")
    await probe.note_quotas(story.line)
    script.quota = replace(quota, used=30)  # another process counted less
    await probe.note_quotas(story.line)
    assert ((await story.channel_now()).quota or {})["used"] == 40
    script.quota = replace(quota, used=1, resets_at=clock.at + timedelta(hours=2))
    await probe.note_quotas(story.line)
    assert ((await story.channel_now()).quota or {})["used"] == 1
