"""Leave: customers do not wait for somebody who is not there: conversations go back to the queue, with a note."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows, update_rows
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind, is_waiting
from socialcrm.domain.people import Agent, Presence, Role, TeamMember, WebSession
from socialcrm.domain.routing import Routing, leaves
from socialcrm.engine.line import Line
from socialcrm.engine.routing import routing_in_force

GONE = "gone"
"""What stands as the reason of somebody who was set offline because their browser was not heard of."""


async def leave(line: Line) -> int:
    """Take conversations away from those who left or say nothing; how many."""
    await _note_gone(line)
    now = line.now()
    async with line.database.write() as session:
        routing = await routing_in_force(session, line)
        others = await _present(session)
        query = (
            select(Conversation, Agent)
            .join(Agent, col(Agent.id) == col(Conversation.agent_id))
            .where(is_waiting(), _could_leave(routing, others, now))
            .order_by(col(Agent.presence) == Presence.ONLINE, col(Conversation.waiting_since_at))
            .limit(line.settings.line.batch)
            .with_for_update(of=Conversation, skip_locked=True, key_share=True)
        )
        found = (await session.execute(query)).all()
        left = []
        for conversation, agent in found:
            since = max(at for at in (conversation.waiting_since_at, conversation.assigned_at, _since(agent)) if at)
            has_others = bool(others[conversation.team_id] - {agent.id})
            if why := leaves(agent.presence, agent.is_active, since, has_others, routing, now):
                left.append((conversation, agent, why))
        await _back(session, line, left, now)
    if left:
        line.live.ring()
        line.work.set()
    return len(left)


def _could_leave(
    routing: Routing, others: Mapping[int | None, Collection[int | None]], now: datetime
) -> ColumnElement[bool]:
    """Whether it is worth looking at a conversation: what `leaves` decides, as far as the database knows it."""
    limits = {
        Presence.ONLINE: routing.silent_minutes if others else 0,
        Presence.AWAY: routing.away_minutes,
        Presence.OFFLINE: routing.offline_minutes,
    }
    found = [not_(col(Agent.is_active))]
    for presence, minutes in limits.items():
        before = now - timedelta(minutes=minutes)
        late = and_(col(Agent.presence) == presence, col(Conversation.waiting_since_at) <= before)
        if presence is Presence.ONLINE:
            late = and_(late, col(Conversation.team_id).in_(others))
        if minutes:
            assigned = col(Conversation.assigned_at)
            found.append(and_(late, or_(assigned.is_(None), assigned <= before)))
    return or_(*found)


def _since(agent: Agent) -> datetime | None:
    """Since when somebody is away; who is here began to be silent when the customer wrote."""
    return agent.presence_at if agent.presence != Presence.ONLINE else None


async def _back(
    session: AsyncSession, line: Line, left: Sequence[tuple[Conversation, Agent, str]], now: datetime
) -> None:
    rows: list[dict[str, Any]] = []
    events = []
    for conversation, agent, why in left:
        rows.append(
            {
                "id": conversation.id,
                "agent_id": None,
                "queued_at": now,
                "scored_at": None,
                "last_agent_id": agent.id,
                "avoided_agent_id": agent.id if why.startswith("silent") else None,
            }
        )
        data = {"agent_id": None, "from": agent.id, "why": [why]}
        events.append({"conversation_id": conversation.id, "at": now, "kind": EventKind.ASSIGNED.value, "data": data})
    await update_rows(session, Conversation, rows)
    await insert_rows(session, ConversationEvent, events)
    await line.live.publish(session, "conversation", (c.id or 0 for c, _, _ in left), now)


async def _present(session: AsyncSession) -> dict[int | None, set[int | None]]:
    """Team -> the agents of it who are here."""
    query = (
        select(col(TeamMember.team_id), col(TeamMember.agent_id))
        .join(Agent, col(Agent.id) == col(TeamMember.agent_id))
        .where(col(Agent.presence) == Presence.ONLINE, col(Agent.is_active), col(Agent.role) == Role.AGENT)
    )
    found: dict[int | None, set[int | None]] = defaultdict(set)
    for team_id, agent_id in (await session.execute(query)).all():
        found[team_id].add(agent_id)
    return found


async def _note_gone(line: Line) -> None:
    """Who closed their browser without signing out is offline. Who works without one, as through the API, is not."""
    now = line.now()
    async with line.database.read() as session:
        routing = await routing_in_force(session, line)
        if not routing.gone_minutes:
            return
        gone = await _gone(session, routing, now)
    if not gone:
        return
    async with line.database.write() as session:
        change = update(Agent).where(col(Agent.id).in_(gone), col(Agent.presence) == Presence.ONLINE)
        await session.execute(change.values(presence=Presence.OFFLINE.value, presence_note=GONE, presence_at=now))


async def _gone(session: AsyncSession, routing: Routing, now: datetime) -> list[int]:
    query = (
        select(col(Agent.id))
        .join(WebSession, col(WebSession.agent_id) == col(Agent.id))
        .where(col(Agent.presence) == Presence.ONLINE)
        .group_by(col(Agent.id))
        .having(func.max(col(WebSession.seen_at)) < now - timedelta(minutes=routing.gone_minutes))
    )
    return [number for number in (await session.execute(query)).scalars() if number is not None]
