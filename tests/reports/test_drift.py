"""Drift: an alarm when what the model says is unlike the weeks before, and silence when there is too little to say."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from socialcrm.database import Database
from socialcrm.reports.drift import ALARM, Shift, alarms, drift
from tests.teaching import Archive

ZONE = ZoneInfo("Africa/Algiers")
NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)
THIS_WEEK = NOW - timedelta(days=3)


async def weeks(made: Archive, complaints: int, of: int, *, channel: str = "chat") -> None:
    """The four weeks before, each with so many complaints."""
    for week in range(1, 5):
        at = THIS_WEEK - timedelta(weeks=week)
        await made.messages(complaints, at=at, is_complaint=True, sentiment="negative", channel=channel)
        await made.messages(of - complaints, at=at, channel=channel)


def of(shifts: list[Shift], name: str, dimension: str = "all", group: str = "") -> Shift:
    return next(s for s in shifts if (s.field, s.dimension, s.group) == (name, dimension, group))


async def test_a_rise_of_complaints_is_an_alarm_in_words(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        await weeks(made, 60, 300)
        await made.messages(180, at=THIS_WEEK, is_complaint=True, sentiment="negative")
        await made.messages(120, at=THIS_WEEK)
        shifts = await drift(session, NOW, ZONE)
    found = of(shifts, "complaint")
    assert (found.label, found.before, found.share) == ("complaint", 0.2, 0.6)
    assert (found.count, found.reference, found.is_alarm, found.has_weaker_scores) == (300, 1200, True, False)
    assert {shift.field for shift in alarms(shifts)} == {"complaint", "sentiment"}
    assert {shift.dimension for shift in alarms(shifts)} == {"all"}, "the channel says nothing more"


async def test_the_same_shares_are_no_alarm(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        await weeks(made, 60, 300)
        await made.messages(66, at=THIS_WEEK, is_complaint=True, sentiment="negative")
        await made.messages(234, at=THIS_WEEK)
        shifts = await drift(session, NOW, ZONE)
    assert 0 <= of(shifts, "complaint").index < ALARM
    assert alarms(shifts) == []


@pytest.mark.parametrize(("now", "before"), [(199, 200), (200, 49)])
async def test_below_200_messages_on_either_side_nothing_is_said(database: Database, now: int, before: int) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        await weeks(made, 0, before)
        await made.messages(now, at=THIS_WEEK, is_complaint=True)
        shifts = await drift(session, NOW, ZONE)
    found = of(shifts, "complaint")
    assert found.index > 1
    assert (found.is_measured, found.is_alarm) == (False, False)


async def test_a_shift_in_one_channel_is_named_with_its_channel(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        for at in (THIS_WEEK, THIS_WEEK - timedelta(weeks=2)):
            await made.messages(400, at=at, channel="page")
            await made.messages(400, at=at, channel="page", intent="question")
        await made.messages(120, at=THIS_WEEK - timedelta(weeks=2), channel="chat")
        await made.messages(120, at=THIS_WEEK - timedelta(weeks=2), channel="chat", intent="question")
        await made.messages(240, at=THIS_WEEK, channel="chat", intent="question")
        shifts = await drift(session, NOW, ZONE)
    (alarm,) = alarms(shifts)
    assert (alarm.dimension, alarm.group, alarm.field) == ("channel", "chat", "intent")
    assert (alarm.label, alarm.before, alarm.share) == ("other", 0.5, 0.0)
    assert not [shift for shift in shifts if shift.dimension == "language" and shift.field == "language"]


async def test_scores_that_fall_are_told_apart_from_a_real_event(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        await weeks(made, 60, 300)
        await made.messages(300, at=THIS_WEEK, is_complaint=True, score=0.6)
        found = of(await drift(session, NOW, ZONE), "complaint")
    assert (found.score_before, found.score) == pytest.approx((0.9, 0.6))
    assert found.has_weaker_scores


async def test_reasons_are_counted_of_complaints_only(database: Database) -> None:
    async with database.write() as session:
        made = Archive(session, NOW)
        await made.messages(10, at=THIS_WEEK, is_complaint=True, reason="outage")
        await made.messages(90, at=THIS_WEEK, reason="billing")
        found = of(await drift(session, NOW, ZONE), "reason")
    assert (found.count, found.label, found.share) == (10, "outage", 1.0)


async def test_a_week_ends_with_yesterday_by_the_companys_clocks(database: Database) -> None:
    midnight = datetime(2026, 3, 11, 23, tzinfo=UTC)  # the 12th begins in Algiers
    async with database.write() as session:
        made = Archive(session, NOW)
        await made.messages(5, at=midnight)
        await made.messages(3, at=midnight - timedelta(seconds=1))
        await made.messages(7, at=midnight - timedelta(days=7, seconds=1))
        shifts = await drift(session, NOW, ZONE, weeks=2)
    found = [shift for shift in shifts if shift.field == "sentiment" and shift.dimension == "all"]
    assert [(shift.week.isoformat(), shift.count, shift.reference) for shift in found] == [
        ("2026-03-11", 3, 7),
        ("2026-03-04", 7, 0),
    ]


async def test_without_messages_there_is_nothing_to_compare(database: Database) -> None:
    async with database.read() as session:
        assert await drift(session, NOW, ZONE, weeks=6) == []
    assert alarms([]) == []
