"""Promises: what the arithmetic costs over a day and over ten years, and what it costs to compute N and 10 N anew."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.place import kinds, opened
from socialcrm.database import insert_numbered, insert_rows
from socialcrm.domain.hours import read_calendar
from socialcrm.domain.rows import Contact, Conversation, ConversationEvent, Message, Sla
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.promises import begin, compute, mark

SMALL = 500
OFFICE = {day: ["08:00-12:00", "13:00-17:00"] for day in ("sunday", "monday", "tuesday", "wednesday", "thursday")}
TURNS = 4
"""Messages and answers in each conversation."""


async def measure() -> list[dict[str, Any]]:
    """Microseconds per question to a calendar; conversations per second that are computed anew, of few and of ten times
    as many: the ratio should stay near 1."""
    rows = [_arithmetic()]
    for kind in await kinds():
        async with opened(kind) as line:
            await begin(line)
            await _conversations(line, SMALL)
            small = await _again(line, SMALL)
            await _conversations(line, 9 * SMALL)
            large = await _again(line, 10 * SMALL)
        rows.append(
            {
                "what": f"computed anew, {kind}",
                "small": f"{SMALL}: {small:,.0f}/s",
                "large": f"{10 * SMALL:,}: {large:,.0f}/s",
                "ratio": round(large / small, 2),
            }
        )
    return rows


def _arithmetic() -> dict[str, Any]:
    calendar = read_calendar({"zone": "Africa/Algiers", "country": "DZ", "week": OFFICE})
    start = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)

    def cost(length: timedelta) -> float:
        end = start + length
        calendar.working_between(start, end)
        began = time.perf_counter()
        for _ in range(20_000):
            calendar.working_between(start, end)
        return (time.perf_counter() - began) / 20_000 * 1e6

    day, years = cost(timedelta(days=1)), cost(timedelta(days=3650))
    return {
        "what": "working time between two instants",
        "small": f"1 day: {day:.1f} µs",
        "large": f"10 years: {years:.1f} µs",
        "ratio": round(years / day, 2),
    }


async def _conversations(line: Line, count: int) -> None:
    """Open conversations with a few messages and answers each, some of them waiting."""
    now = utc_now()
    async with line.database.write() as session:
        contacts = await insert_numbered(session, Contact, [{"name": f"c{n}", "created_at": now} for n in range(count)])
        opened_at = [now - timedelta(minutes=n % 3000) for n in range(count)]
        found = await insert_numbered(
            session,
            Conversation,
            [
                {
                    "channel_id": 1,
                    "contact_id": contact,
                    "thread_key": f"{contact}",
                    "kind": "direct_message",
                    "opened_at": at,
                    "last_message_at": at,
                }
                for contact, at in zip(contacts, opened_at, strict=True)
            ],
        )
        events, messages = [], []
        for number, contact, at in zip(found, contacts, opened_at, strict=True):
            events.append({"conversation_id": number, "at": at, "kind": "opened"})
            for turn in range(TURNS):
                is_in = turn % 2 == 0
                sent = at + timedelta(minutes=20 * turn)
                messages.append(
                    {
                        "conversation_id": number,
                        "channel_id": 1,
                        "contact_id": contact,
                        "direction": "in" if is_in else "out",
                        "author_kind": "contact" if is_in else "agent",
                        "kind": "direct_message",
                        "text": "…",
                        "sent_at": sent,
                        "received_at": sent,
                    }
                )
        await insert_rows(session, ConversationEvent, events)
        await insert_rows(session, Message, messages)


async def _again(line: Line, count: int) -> float:
    """Conversations per second, all of them marked, and their promises written."""
    async with line.database.write() as session:
        await session.execute(Sla.__table__.delete())  # type: ignore[attr-defined]
        await mark(session)
    began = time.perf_counter()
    while await compute(line):
        pass
    return count / (time.perf_counter() - began)
