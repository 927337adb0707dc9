"""Assign: who looks after a conversation, as somebody decides by hand. Routing does it by itself: see `route`."""

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind, Handler
from socialcrm.domain.people import Agent
from socialcrm.engine.line import Line


async def assign(
    session: AsyncSession, line: Line, conversation: Conversation, agent_id: int | None, by: Agent
) -> None:
    """Give a conversation to an agent, or to nobody: then it waits for somebody to take it, or for the customer's next
    message."""
    now = line.now()
    conversation.agent_id, conversation.queued_at = agent_id, None
    if agent_id is not None:
        conversation.assigned_at, conversation.avoided_agent_id = now, None
        conversation.handler = Handler.HUMAN
    session.add(event(conversation, line, by.id, agent_id))
    await session.flush()
    await line.live.publish(session, "conversation", [conversation.id or 0], now)


async def take(session: AsyncSession, line: Line, conversation_id: int, agent: Agent) -> bool:
    """Take an unassigned conversation; False when somebody else was quicker. One conditional update decides."""
    change = (
        update(Conversation)
        .where(col(Conversation.id) == conversation_id, col(Conversation.agent_id).is_(None))
        .values(
            agent_id=agent.id,
            handler=Handler.HUMAN.value,
            assigned_at=line.now(),
            queued_at=None,
            avoided_agent_id=None,
        )
    )
    if getattr(await session.execute(change), "rowcount", 0) != 1:
        return False
    conversation = await session.get_one(Conversation, conversation_id, populate_existing=True)
    session.add(event(conversation, line, agent.id, agent.id))
    await session.flush()
    await line.live.publish(session, "conversation", [conversation_id], line.now())
    return True


def enqueue(conversation: Conversation, line: Line) -> None:
    """Have routing find an agent for a conversation that has none, the most urgent ones first."""
    conversation.queued_at = conversation.queued_at or line.now()
    conversation.scored_at = None


def event(
    conversation: Conversation, line: Line, by: int | None, agent_id: int | None, **more: Any
) -> ConversationEvent:
    """The line in the thread that says who has it now."""
    return ConversationEvent(
        conversation_id=conversation.id or 0,
        at=line.now(),
        kind=EventKind.ASSIGNED,
        agent_id=by,
        data={"agent_id": agent_id, **more},
    )
