"""Rules: triage of many messages with 10 and 200 of them, what one rule costs, and a back-test of 100,000 messages."""

import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bench.place import kinds, opened, texts
from socialcrm.database import insert_numbered, insert_rows
from socialcrm.domain.facts import Facts
from socialcrm.domain.fields import INTENTS, LANGUAGES, SENTIMENTS
from socialcrm.domain.message import Direction, Step
from socialcrm.domain.rows import Analysis, Contact, Conversation, Message
from socialcrm.domain.rulebook import Body, read
from socialcrm.domain.triage import ready
from socialcrm.engine.backtest import backtest
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.triage import triage

NUMBER = int(os.environ.get("BENCH_RULES", "100000"))
"""Seconds are those of our process, so that others on the machine do not count."""
EACH = 5
"""Messages of one person."""
CHUNK = 5_000
SIZES = (10, 200)


async def measure() -> list[dict[str, Any]]:
    """One row per database and number of rules."""
    rows = []
    for kind in await kinds():
        base = 0.0
        for size in SIZES:
            async with opened(kind, line={"batch": 500}) as line:
                own = replace(line, engagement=replace(line.engagement, rules=tuple(rules(size)), questions=()))
                await fill(own, NUMBER)
                begin = time.process_time()
                past = await backtest(own, [rules(size)[1]], 30)
                tried = time.process_time() - begin
                begin = time.process_time()
                while await triage(own):
                    continue
                seconds = time.process_time() - begin
                base = base or seconds
            rows.append(
                {
                    "database": kind,
                    "rules": size,
                    "messages": NUMBER,
                    "triage s": round(seconds, 1),
                    "messages/s": round(NUMBER / seconds),
                    "times 10 rules": round(seconds / base, 2),
                    "µs a rule": round((seconds - base) / NUMBER / (size - SIZES[0]) * 1e6, 1) if size > 10 else 0.0,
                    "deciding alone, µs a rule": round(deciding(size), 2),
                    "back-test s": round(tried, 1),
                    "fires on": past.trials[0].fired,
                }
            )
    return rows


def rules(size: int) -> list[Body]:
    """So many rules of the kind that people write; a few fire."""
    found = []
    for number in range(size):
        when = {
            "all": [
                {"field": "language", "value": [LANGUAGES[number % 5]]},
                {"any": [{"field": "complaint", "value": True}, {"field": "sentiment", "value": ["negative"]}]},
                {"field": "words", "value": [f"mot{number}", "ma facture", "la connexion"]},
            ]
        }
        found.append(read({"name": f"Rule {number}", "when": when, "then": {"label": [f"l{number % 7}"]}}, "Rule"))
    return found


def deciding(size: int) -> float:
    """Microseconds that one rule takes to be tried on one message, without any database."""
    tried = [ready(body, 1) for body in rules(size)]
    facts = [
        Facts(text=text, language="fr", sentiment="negative", is_complaint=True)
        for text, _ in zip(texts(), range(2000), strict=False)
    ]
    for one in facts:
        one.said()
    begin = time.process_time()
    for one in facts:
        for rule in tried:
            rule.test.holds(one)
    return (time.process_time() - begin) / len(facts) / size * 1e6


async def fill(line: Line, number: int) -> None:
    """Analysed messages that wait for triage, spread over the last 20 days."""
    now, words = utc_now(), texts()
    for start in range(0, number, CHUNK):
        async with line.database.write() as session:
            people = range(start // EACH, (start + CHUNK) // EACH)
            contacts = await insert_numbered(session, Contact, [{"name": f"P{n}", "created_at": now} for n in people])
            at = [now - timedelta(seconds=20 * 86400 * (1 - n * EACH / number)) for n in people]
            conversations = await insert_numbered(
                session,
                Conversation,
                [
                    {
                        "channel_id": 1,
                        "contact_id": c,
                        "thread_key": f"t{c}",
                        "kind": "direct_message",
                        "opened_at": when,
                        "last_message_at": when,
                    }
                    for c, when in zip(contacts, at, strict=True)
                ],
            )
            messages = [
                {
                    "conversation_id": conversations[n // EACH],
                    "contact_id": contacts[n // EACH],
                    "channel_id": 1,
                    "external_id": f"m{start + n}",
                    "direction": Direction.IN.value,
                    "kind": "direct_message",
                    "author_kind": "contact",
                    "text": next(words),
                    "sent_at": at[n // EACH] + timedelta(minutes=n % EACH),
                    "received_at": at[n // EACH] + timedelta(minutes=n % EACH),
                    "step": Step.TRIAGE.value,
                }
                for n in range(CHUNK)
            ]
            numbers = await insert_numbered(session, Message, messages)
            await insert_rows(session, Analysis, [_analysis(n, now) for n in numbers])


def _analysis(number: int, now: Any) -> dict[str, Any]:
    scores = {f"{name}_score": 0.9 for name in ("language", "sentiment", "complaint", "intent")}
    return {
        "message_id": number,
        "language": LANGUAGES[number % 5],
        "sentiment": SENTIMENTS[number % 3],
        "is_complaint": number % 4 == 0,
        "intent": INTENTS[number % 8],
        "model": "bench",
        "analyzed_at": now,
        **scores,
    }
