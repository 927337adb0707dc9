"""Resolve and reopen: the end of a conversation, and its return."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Handler
from socialcrm.domain.people import Agent
from socialcrm.domain.survey import Resolution
from socialcrm.engine.line import Line


async def resolve(session: AsyncSession, line: Line, conversation: Conversation, by: Agent | None, **data: Any) -> None:
    """End a conversation; its survey is due from now on. Nothing happens to one that is resolved already. `data` goes
    into the event."""
    if conversation.status == ConversationStatus.RESOLVED:
        return
    now = line.now()
    conversation.status, conversation.handler, conversation.resolved_at = (
        ConversationStatus.RESOLVED,
        Handler.CLOSED,
        now,
    )
    conversation.waiting_since_at, conversation.unread_count = None, 0
    conversation.queued_at, conversation.wanted_skill, conversation.wanted_agent_id = None, "", None
    agent_id = conversation.agent_id or (by.id if by else None)
    number = conversation.id or 0
    session.add(Resolution(conversation_id=number, agent_id=agent_id, team_id=conversation.team_id, resolved_at=now))
    session.add(
        ConversationEvent(
            conversation_id=number, at=now, kind=EventKind.RESOLVED, agent_id=by.id if by else None, data=data
        )
    )
    await session.flush()
    await line.live.publish(session, "conversation", [number], now)


async def reopen(session: AsyncSession, line: Line, conversation: Conversation, by: Agent | None, **data: Any) -> None:
    """Bring a resolved conversation back. Nothing happens to one that is open."""
    if conversation.status == ConversationStatus.OPEN:
        return
    now, number = line.now(), conversation.id or 0
    conversation.status, conversation.resolved_at = ConversationStatus.OPEN, None
    conversation.handler = Handler.HUMAN
    session.add(
        ConversationEvent(
            conversation_id=number, at=now, kind=EventKind.REOPENED, agent_id=by.id if by else None, data=data
        )
    )
    await session.flush()
    await line.live.publish(session, "conversation", [number], now)
