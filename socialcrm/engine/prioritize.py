"""Prioritize: counts how urgent the conversations are whose customers wait for an answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import update_rows
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, is_waiting
from socialcrm.domain.priority import Facts, Score, Weights, score
from socialcrm.domain.sla import Sla
from socialcrm.engine.line import Line
from socialcrm.engine.routing import routing_in_force

AGAIN = timedelta(minutes=1)
"""Waiting makes more urgent: so old may a score be."""
WEEK = timedelta(days=7)


async def prioritize(line: Line) -> int:
    """Count those to whom something happened; how many."""
    return await _count(line, col(Conversation.scored_at).is_(None))


async def refresh(line: Line) -> int:
    """Count those again whose score is old, oldest first; how many were looked at."""
    return await _count(line, col(Conversation.scored_at) < line.now() - AGAIN)


async def _count(line: Line, which: ColumnElement[bool]) -> int:
    query = (
        select(Conversation)
        .where(is_waiting(), which)
        .order_by(col(Conversation.scored_at), col(Conversation.id))
        .limit(line.settings.line.batch)
    )
    async with line.database.read() as session:
        if await session.scalar(query.with_only_columns(col(Conversation.id)).limit(1)) is None:
            return 0
    async with line.database.write() as session:
        routing = await routing_in_force(session, line)
        found = (await session.execute(query.with_for_update(skip_locked=True, key_share=True))).scalars().all()
        session.expunge_all()  # only what changed is written, many rows at once
        scores = await scores_of(session, found, routing.weights, line.now())
        rows = []
        for conversation in found:
            new = scores[conversation.id or 0]
            rows.append(
                {
                    "id": conversation.id,
                    "score": new.total,
                    "score_terms": new.terms,
                    "scored_at": line.now(),
                }
            )
        await update_rows(session, Conversation, rows)
    return len(found)


async def scores_of(
    session: AsyncSession, conversations: Sequence[Conversation], weights: Weights, now: datetime
) -> dict[int, Score]:
    """What the conversations' scores are now."""
    people = {c.contact_id for c in conversations}
    tiers = select(col(Contact.id), col(Contact.tier)).where(col(Contact.id).in_(people), col(Contact.tier) != "")
    tier_of = {number: tier for number, tier in (await session.execute(tiers)).all()}
    begun = (
        select(col(Conversation.contact_id), func.count())
        .where(col(Conversation.contact_id).in_(people), col(Conversation.opened_at) > now - WEEK)
        .group_by(col(Conversation.contact_id))
    )
    count_of = {number: count for number, count in (await session.execute(begun)).all()}
    risks = await sla_risks(session, conversations, now)
    return {
        c.id or 0: score(
            c,
            Facts(
                tier_of.get(c.contact_id, ""),
                count_of.get(c.contact_id, 0) - (c.opened_at > now - WEEK),
                risks.get(c.id or 0, 0.0),
            ),
            weights,
            now,
        )
        for c in conversations
    }


async def sla_risks(session: AsyncSession, conversations: Sequence[Conversation], now: datetime) -> dict[int, float]:
    """How much of the time that an SLA gives is over, by conversation: 1 is breached."""
    numbers = [c.id for c in conversations]
    query = select(col(Sla.conversation_id), col(Sla.due_at), col(Sla.percent)).where(
        col(Sla.conversation_id).in_(numbers), col(Sla.ended_at).is_(None), col(Sla.due_at).is_not(None)
    )
    found: dict[int, float] = {}
    for number, due_at, percent in (await session.execute(query)).all():
        share = 1.0 if due_at and due_at <= now else min(percent, 99) / 100
        found[number] = max(share, found.get(number, 0.0))
    return found
