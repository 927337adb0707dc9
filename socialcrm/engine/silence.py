"""Silence: nobody answered, or the customer fell silent, for as long as a rule says -> that rule, once."""

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.conversation import Conversation, ConversationStatus
from socialcrm.domain.rule import RuleSilence
from socialcrm.domain.rulebook import AGENT_SILENT, SILENCES
from socialcrm.domain.triage import Ready
from socialcrm.engine import known, react, rulebook
from socialcrm.engine.carry_out import Occasion, open_batch
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
AGAIN = timedelta(minutes=5)
"""A silence on which a rule's conditions do not hold is looked at again after this: it may be open then."""


async def listen(line: Line) -> int:
    """Try the rules on silence where one has lasted long enough; how many conversations were looked at."""
    async with line.database.read() as session:
        book = await rulebook.peek(session, line)
    done = 0
    for event in SILENCES:
        for rule in book.of(event):
            try:
                done += await _listen(line, rule)
            except Exception:
                log.exception("rule %s on silence could not be tried", rule.id)
    return done


async def _listen(line: Line, rule: Ready) -> int:
    now = line.now()
    async with line.database.write() as session:
        book = await rulebook.load(session, line)
        if rule.id not in book.since:  # it was switched off a moment ago
            return 0
        length = timedelta(minutes=rule.body.silence_minutes)
        conversations = await _due(session, line, rule, now, length, book.since[rule.id])
        if not conversations:
            return 0
        batch = await open_batch(session, line, conversations)
        extra = await known.read(session, line, batch, conversations, book.needs.get(rule.body.on, frozenset()))
        limits = await known.Limits.load(session, batch, conversations, [rule])
        newest = await react.newest_messages(session, conversations)
        looked: list[dict[str, object]] = []
        for conversation in conversations:
            since = _since(rule, conversation)
            key = f"silence:{rule.id}:{conversation.id}:{since.isoformat()}"
            occasion = Occasion(rule.body.on, key, minutes=round((now - since).total_seconds() / 60))
            facts = react.facts_of(batch, conversation, extra, newest)
            decision = await react.follow(session, batch, conversation, facts, [rule], limits, newest, occasion)
            again = None if decision.fired else now + AGAIN
            row: dict[str, object] = {
                "rule_id": rule.id,
                "conversation_id": conversation.id,
                "since_at": since,
                "again_at": again,
            }
            looked.append(row)
            if decision.fired:
                batch.runs.append(react.run(batch, conversation, occasion, decision))
        old = delete(RuleSilence).where(
            col(RuleSilence.rule_id) == rule.id, col(RuleSilence.conversation_id).in_([c.id for c in conversations])
        )
        await session.execute(old)
        await insert_rows(session, RuleSilence, looked)
        await batch.write(session)
        await line.live.publish(session, "conversation", (c.id or 0 for c in conversations), now)
    line.live.ring()
    return len(conversations)


async def _due(
    session: AsyncSession, line: Line, rule: Ready, now: datetime, length: timedelta, since: datetime
) -> list[Conversation]:
    """Conversations whose silence has lasted long enough and that the rule has not looked at, or should again. What had
    fallen silent before the rule was switched on is left alone."""
    looked = and_(col(RuleSilence.conversation_id) == col(Conversation.id), col(RuleSilence.rule_id) == rule.id)
    start: Any = _start(rule)
    is_new = or_(col(RuleSilence.rule_id).is_(None), col(RuleSilence.again_at) <= now)
    if rule.body.on == AGENT_SILENT:
        # The customer may have written again meanwhile: that is the same silence.
        is_new = or_(is_new, col(RuleSilence.since_at) != start)
        where = [col(Conversation.status) == ConversationStatus.OPEN.value, start.is_not(None)]
    else:
        states = (ConversationStatus.OPEN.value, ConversationStatus.PENDING.value)
        where = [col(Conversation.status).in_(states), col(Conversation.waiting_since_at).is_(None)]
    query = (
        select(Conversation)
        .outerjoin(RuleSilence, looked)
        .where(*where, start <= now - length, start >= since - length, is_new)
        .order_by(col(Conversation.id))
        .limit(line.settings.line.batch)
        .with_for_update(of=Conversation, skip_locked=True, key_share=True)
    )
    return list((await session.execute(query)).scalars())


def _start(rule: Ready) -> Any:
    return col(Conversation.waiting_since_at if rule.body.on == AGENT_SILENT else Conversation.last_message_at)


def _since(rule: Ready, conversation: Conversation) -> datetime:
    waiting = conversation.waiting_since_at if rule.body.on == AGENT_SILENT else None
    return waiting or conversation.last_message_at
