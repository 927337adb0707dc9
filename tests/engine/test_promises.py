"""What is promised to customers: due times, warnings, pauses, and who is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlmodel import col

from socialcrm.domain.rows import (
    Agent,
    CalendarRow,
    Conversation,
    ConversationEvent,
    Edition,
    Escalation,
    Message,
    Notice,
    Sla,
    SlaPolicy,
    SlaStale,
    Team,
    TeamCalendar,
)
from socialcrm.domain.sla import Pause
from socialcrm.engine import calendars
from socialcrm.engine.escalate import escalate
from socialcrm.engine.hold import go_on, hold
from socialcrm.engine.line import Line
from socialcrm.engine.promises import mark
from socialcrm.engine.resolve import reopen
from socialcrm.engine.schedule import drain
from tests.engine.scripted import on_one_database
from tests.story import Clock, Story, line_with

MONDAY = datetime(2026, 4, 13, 8, 0, tzinfo=UTC)
"""09:00 in Algiers, where people work from 08:00 to 12:00 and from 13:00 to 17:00, Sunday to Thursday."""


async def begin(line: Line, at: datetime = MONDAY, **settings: Any) -> tuple[Story, Clock, Agent]:
    clock = Clock(at)
    story = await Story.begin(line_with(line, clock, **settings))
    amina = await story.agent("Amina")
    await drain(story.line)
    return story, clock, amina


async def promise(story: Story, **data: Any) -> SlaPolicy:
    """The only policy from now on."""
    async with story.line.database.write() as session:
        await session.execute(delete(Sla))
        await session.execute(update(SlaPolicy).values(is_on=False))
        row = SlaPolicy(name="Test", place=0, changed_at=story.line.now())
        await calendars.save(session, story.line, row, "Test", {"targets": {"first_response": 60}, **data}, None)
        await mark(session)
    return row


async def slas(story: Story) -> list[Sla]:
    await drain(story.line)
    return list(await story.rows(Sla))


async def passes(story: Story, clock: Clock, **time: float) -> None:
    clock.forward(**time)
    await drain(story.line)


async def events(story: Story, *kinds: str) -> list[tuple[str, Any]]:
    return [(e.kind, e.data.get("percent")) for e in await story.rows(ConversationEvent) if e.kind.startswith("sla_")]


def told(event: ConversationEvent) -> list[tuple[str, str]]:
    return [(step["tell"], step.get("to", "") or step.get("why", "")) for step in event.data["told"]]


async def test_an_answer_in_time_keeps_the_promise_and_one_too_late_breaks_it(line: Line) -> None:
    story, clock, amina = await begin(line)
    await promise(story, targets={"first_response": 60, "next_response": 30, "resolution": 240})
    await story.customer_writes("Bonjour, quels sont vos horaires ?")
    first, resolution = await slas(story)
    assert (first.measure, first.status, first.due_at) == ("first_response", "running", MONDAY + timedelta(hours=1))
    assert resolution.due_at == MONDAY + timedelta(hours=5), "an hour at noon nobody works"

    clock.forward(minutes=40)
    await story.agent_answers(amina, "De 8 h à 17 h.")
    clock.forward(minutes=5)
    await story.customer_writes("Et le vendredi ?")
    clock.forward(minutes=31)
    await drain(story.line)
    first, _, second = await slas(story)
    assert (first.status, first.business_seconds, first.agent_id) == ("met", 2400, amina.id)
    assert (second.measure, second.status, second.breached_at) == ("next_response", "running", second.due_at)
    await story.agent_answers(amina, "Fermé.")
    await story.agent_resolves(amina)
    first, resolution, second = await slas(story)
    assert (second.status, second.business_seconds, second.breached_at) == ("late", 1860, second.due_at)
    assert (resolution.status, resolution.wall_seconds, resolution.agent_id) == ("met", 76 * 60, amina.id)


async def test_nights_and_days_off_do_not_count_and_both_times_are_kept(line: Line) -> None:
    story, clock, amina = await begin(line, datetime(2026, 4, 16, 15, 50, tzinfo=UTC))
    await promise(story, targets={"first_response": 120})
    await story.customer_writes("Bonjour")
    (first,) = await slas(story)
    assert first.due_at == datetime(2026, 4, 19, 8, 50, tzinfo=UTC), "Thursday 16:50 and Sunday 09:50 in Algiers"
    clock.at = datetime(2026, 4, 19, 7, 20, tzinfo=UTC)
    await story.agent_answers(amina, "Bonjour")
    (first,) = await slas(story)
    assert (first.status, first.business_seconds) == ("met", 30 * 60)
    assert first.wall_seconds == int(timedelta(days=2, hours=15, minutes=30).total_seconds())


async def test_everybody_is_warned_before_the_breach_and_the_ladder_is_climbed(line: Line) -> None:
    story, clock, amina = await begin(line, rules={"may_call_private": True}, mail={"host": "smtp.invalid"})
    boss = await story.agent("Boss", role="supervisor", presence="offline")
    lina = await story.agent("Lina", presence="away")
    ladder = [
        {"percent": 80, "tell": "agent"},
        {"percent": 100, "tell": "team"},
        {"percent": 100, "tell": "webhook", "to": "pager"},
        {"percent": 150, "tell": "supervisors"},
        {"percent": 150, "tell": "email", "to": "duty@example.com"},
    ]
    await promise(story, ladder=ladder)
    await story.customer_writes("slm, la connexion ta3kom mayta men lbareh w 7ed ma jawebni, 3iyitouna")
    conversation = await story.conversation()
    async with story.line.database.write() as session:
        kept = await session.get_one(Conversation, conversation.id)
        kept.agent_id = amina.id
        kept.team_id = await session.scalar(select(col(Team.id)).where(col(Team.key) == "support"))
        await mark(session)
    await passes(story, clock, minutes=29)
    assert await events(story) == []
    await passes(story, clock, minutes=1)
    assert await events(story) == [("sla_warning", 50)]
    await passes(story, clock, minutes=18)
    await passes(story, clock, minutes=1)
    assert await events(story) == [("sla_warning", 50), ("sla_warning", 80)]
    await passes(story, clock, minutes=11)
    await passes(story, clock, minutes=30)
    found = [e for e in await story.rows(ConversationEvent) if e.kind.startswith("sla_")]
    assert [(e.kind, e.data["percent"]) for e in found[2:]] == [("sla_breached", 100), ("sla_escalated", 150)]
    assert told(found[1]) == [("agent", "Amina")]
    assert told(found[2])[0] == ("team", "Amina"), "Lina is away, and Amina is there"
    assert found[2].data["told"][1]["why"] == "there is no webhook called 'pager'"
    assert told(found[3]) == [("supervisors", "Boss"), ("email", "duty@example.com")]
    assert [(n.agent_id, n.kind, n.data["percent"]) for n in await story.rows(Notice)] == [
        (amina.id, "sla_warning", 80),
        (amina.id, "sla_breached", 100),
        (boss.id, "sla_escalated", 150),
    ]
    (mail,) = await story.rows(Escalation)
    assert (mail.recipient, mail.data["percent"], mail.sent_at) == ("duty@example.com", 150, None)
    assert lina.id not in {n.agent_id for n in await story.rows(Notice)}


async def test_who_was_away_for_long_is_told_the_worst_only_and_nothing_twice(line: Line) -> None:
    story, clock, _ = await begin(line)
    await promise(story, ladder=[{"percent": 80, "tell": "supervisors"}, {"percent": 100, "tell": "supervisors"}])
    await story.agent("Boss", role="supervisor")
    await story.customer_writes("Bonjour")
    await passes(story, clock, days=3)
    await passes(story, clock, days=3)
    assert await events(story) == [("sla_breached", 100)]
    assert [n.data["percent"] for n in await story.rows(Notice)] == [100], "one for both steps"


async def test_an_answer_that_is_there_is_counted_before_anybody_is_told_of_its_lack(line: Line) -> None:
    story, clock, amina = await begin(line)
    await promise(story)
    await story.customer_writes("Bonjour")
    clock.forward(minutes=20)
    await story.agent_answers(amina, "Bonjour")
    await passes(story, clock, days=1)
    assert await events(story) == []


async def test_the_clock_stands_still_while_we_wait_for_the_customer_or_somebody_outside(line: Line) -> None:
    story, clock, amina = await begin(line)
    await promise(story, targets={"resolution": 120}, pauses=["customer", "third_party"])
    await story.customer_writes("Bonjour")
    clock.forward(minutes=30)

    async def waits(reason: Pause | None) -> Sla:
        async with story.line.database.write() as session:
            conversation = await session.get_one(Conversation, (await story.conversation()).id)
            if reason:
                await hold(session, story.line, conversation, reason, amina)
            else:
                await go_on(session, story.line, conversation, amina)
        (row,) = await slas(story)
        return row

    row = await waits(Pause.THIRD_PARTY)
    assert (row.status, row.due_at) == ("paused", None)
    clock.forward(minutes=60)
    row = await waits(None)
    assert (row.status, row.due_at) == ("running", MONDAY + timedelta(hours=3))
    await waits(Pause.CUSTOMER)
    assert (await story.conversation()).status == "pending"
    clock.at = MONDAY + timedelta(days=1)
    await story.customer_writes("Voilà la photo.")
    (row,) = await slas(story)
    assert row.due_at == MONDAY + timedelta(days=1, minutes=90)
    assert (await story.conversation()).status == "open"
    await story.agent_resolves(amina)
    (row,) = await slas(story)
    assert (row.status, row.business_seconds, row.wall_seconds) == ("met", 1800, 86_400)
    assert row.paused_seconds == 86_400 - 1800


async def test_a_resolution_may_stand_still_while_our_answer_is_the_last_word(line: Line) -> None:
    story, clock, amina = await begin(line)
    await promise(story, targets={"resolution": 120}, pauses=["answered"])
    await story.customer_writes("Bonjour")
    clock.forward(minutes=30)
    await story.agent_answers(amina, "Avez-vous redémarré la box ?")
    assert [row.status for row in await slas(story)] == ["paused"]
    clock.forward(hours=5)
    await story.customer_writes("Oui")
    (row,) = await slas(story)
    assert row.due_at == clock.at + timedelta(minutes=90)


async def test_a_reopened_conversation_is_promised_a_new_resolution(line: Line) -> None:
    story, clock, amina = await begin(line, survey={"is_on": False})
    await promise(story, targets={"first_response": 60, "next_response": 60, "resolution": 120})
    await story.customer_writes("Bonjour")
    await story.agent_answers(amina, "Bonjour")
    await story.agent_resolves(amina)
    clock.forward(days=1)
    await story.customer_writes("ça ne marche toujours pas, c'est inadmissible")
    rows = {(row.measure, row.place): row for row in await slas(story)}
    assert {key: row.status for key, row in rows.items()} == {
        ("first_response", 0): "met",
        ("resolution", 0): "met",
        ("next_response", 0): "running",
        ("resolution", 1): "running",
    }
    await story.agent_resolves(amina)
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        await reopen(session, story.line, conversation, amina)
    rows = {(row.measure, row.place): row for row in await slas(story)}
    assert rows["next_response", 0].status == "dropped", "resolved in time without an answer"
    assert ("next_response", 1) not in rows, "the agent reopened it, and nobody waits"
    assert rows["resolution", 2].status == "running"


async def test_what_came_late_or_was_only_found_is_promised_nothing(line: Line) -> None:
    story, clock, _ = await begin(line)
    await promise(story, targets={"first_response": 60, "next_response": 60, "resolution": 600})
    await story.customer_writes("Bonjour")
    async with story.line.database.write() as session:
        message = (await session.execute(select(Message))).scalar_one()
        message.is_late = True
        await mark(session)
    assert await slas(story) == []
    async with story.line.database.write() as session:
        message = (await session.execute(select(Message))).scalar_one()
        message.is_late, message.is_found = False, True
        await mark(session)
    assert await slas(story) == []
    clock.forward(minutes=5)
    await story.customer_writes("Il y a quelqu'un ?")
    assert [row.measure for row in await slas(story)] == ["first_response", "resolution"]


async def test_the_first_policy_that_fits_counts_and_a_priority_that_rises_brings_the_due_time_forward(
    line: Line,
) -> None:
    story, _, _ = await begin(line)
    await story.customer_writes("Bonjour, quels sont vos horaires ?")
    first = next(row for row in await slas(story) if row.measure == "first_response")
    assert first.due_at == MONDAY + timedelta(hours=1)
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        conversation.priority = "urgent"
        await story.line.live.publish(session, "conversation", [conversation.id or 0], story.line.now())
    rows = await slas(story)
    first = next(row for row in rows if row.measure == "first_response")
    assert first.due_at == MONDAY + timedelta(minutes=15)
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        conversation.labels = ["spam"]
        await story.line.live.publish(session, "conversation", [conversation.id or 0], story.line.now())
    assert await slas(story) == [], "spam is promised nothing"


async def test_a_changed_calendar_moves_what_runs_and_what_ended_only_when_asked_for(line: Line) -> None:
    story, clock, amina = await begin(line)
    await promise(story, targets={"first_response": 240})
    await story.customer_writes("Bonjour", author="one")
    clock.forward(hours=5)
    await story.agent_answers(amina, "Bonjour")
    await story.customer_writes("Bonjour", author="two")
    before = await slas(story)
    assert [(row.status, row.business_seconds) for row in before] == [("met", 4 * 3600), ("running", 0)]
    assert before[1].due_at == MONDAY + timedelta(days=1)

    async with story.line.database.write() as session:
        row = (await session.execute(select(CalendarRow).where(col(CalendarRow.is_default)))).scalar_one()
        data = {**row.data, "week": {"monday": ["08:00-16:00"], "tuesday": ["10:00-16:00"]}}
        await calendars.save(session, story.line, row, row.name, data, amina)
        await mark(session)
    after = await slas(story)
    assert (after[0].status, after[0].business_seconds) == ("met", 4 * 3600), "it was judged by the hours of its time"
    assert after[1].due_at == MONDAY + timedelta(days=1, hours=3), "two hours on Monday, two on Tuesday from 10:00"
    assert [e.version for e in await story.rows(Edition) if e.kind == "calendar" and e.row_id == row.id] == [1, 2]

    async with story.line.database.write() as session:
        await mark(session, since=MONDAY - timedelta(days=1))
    again = await slas(story)
    assert (again[0].status, again[0].business_seconds) == ("late", 5 * 3600), "without the hour at noon it was late"
    assert await story.rows(SlaStale) == []


async def test_a_warning_comes_again_when_the_due_time_moved_away(line: Line) -> None:
    story, clock, _ = await begin(line)
    policy = await promise(story)
    await story.customer_writes("Bonjour")
    await passes(story, clock, minutes=50)
    assert await events(story) == [("sla_warning", 80)]
    async with story.line.database.write() as session:
        kept = await session.get_one(SlaPolicy, policy.id)
        await calendars.save(session, story.line, kept, "Test", {"targets": {"first_response": 120}}, None)
        await mark(session)
    await passes(story, clock, minutes=9)
    assert await events(story) == [("sla_warning", 80)]
    await passes(story, clock, minutes=2)
    assert await events(story) == [("sla_warning", 80), ("sla_warning", 50)]


async def test_a_team_has_its_own_hours(line: Line) -> None:
    story, _, _ = await begin(line, datetime(2026, 4, 17, 10, tzinfo=UTC))
    await promise(story)
    await story.customer_writes("Bonjour")
    async with story.line.database.write() as session:
        always = (await session.execute(select(CalendarRow).where(col(CalendarRow.key) == "always"))).scalar_one()
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        team = conversation.team_id or (await session.scalar(select(col(Team.id)).limit(1))) or 0
        conversation.team_id = team
        session.add(TeamCalendar(team_id=team, calendar_id=always.id or 0))
        await mark(session)
        own = await calendars.calendar_for(session, story.line, team)
        other = await calendars.calendar_for(session, story.line, None)
    assert (own.is_open(story.line.now()), other.is_open(story.line.now())) == (True, False), "it is a Friday"
    (row,) = await slas(story)
    assert (row.due_at, row.calendar_id) == (story.line.now() + timedelta(hours=1), always.id)


@on_one_database
@pytest.mark.parametrize("fails", range(1, 6))
async def test_a_process_that_ends_anywhere_tells_everything_once(
    line: Line, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, clock, _ = await begin(line)
    await promise(story, ladder=[{"percent": 100, "tell": "supervisors"}])
    await story.agent("Boss", role="supervisor")
    await story.customer_writes("Bonjour")
    clock.forward(hours=1)
    hooks = list(story.line.database.before_commit)
    commits = 0

    async def ends(session: object) -> None:
        nonlocal commits
        commits += 1
        if commits == fails:
            raise KeyboardInterrupt

    story.line.database.before_commit.append(ends)
    try:
        with pytest.raises(KeyboardInterrupt):
            while await escalate(story.line):
                pass
            raise KeyboardInterrupt  # there were fewer transactions
    finally:
        story.line.database.before_commit[:] = hooks
    await drain(story.line)
    assert await events(story) == [("sla_breached", 100)]
    assert len(await story.rows(Notice)) == 1


@on_one_database
async def test_several_processes_tell_everything_once(line: Line) -> None:
    story, clock, _ = await begin(line)
    await promise(story, ladder=[{"percent": 100, "tell": "supervisors"}])
    await story.agent("Boss", role="supervisor")
    for number in range(30):
        await story.customer_writes("Bonjour", author=f"customer {number}", drains=False)
    await drain(story.line)
    clock.forward(hours=1)

    async def run() -> None:
        while await escalate(story.line):
            pass

    await asyncio.gather(*(run() for _ in range(4)))
    await drain(story.line)
    assert await events(story) == [("sla_breached", 100)] * 30
    assert len(await story.rows(Notice)) == 30
