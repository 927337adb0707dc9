"""Hold: a conversation waits for its customer or for somebody outside, and clocks of promises with it."""

from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind
from socialcrm.domain.people import Agent
from socialcrm.domain.sla import Pause
from socialcrm.engine.line import Line


async def hold(session: AsyncSession, line: Line, conversation: Conversation, reason: Pause, by: Agent | None) -> None:
    """Let a conversation wait, until the customer writes or somebody goes on with it. Nothing happens to one that was
    resolved."""
    if conversation.status == ConversationStatus.RESOLVED:
        return
    conversation.status = ConversationStatus.PENDING
    await _note(session, line, conversation, EventKind.PAUSED, by, {"for": reason.value})


async def go_on(session: AsyncSession, line: Line, conversation: Conversation, by: Agent | None) -> None:
    """Go on with a conversation that waits."""
    if conversation.status not in (ConversationStatus.PENDING, ConversationStatus.SNOOZED):
        return
    conversation.status = ConversationStatus.OPEN
    await _note(session, line, conversation, EventKind.RESUMED, by, {})


async def _note(
    session: AsyncSession,
    line: Line,
    conversation: Conversation,
    kind: EventKind,
    by: Agent | None,
    data: dict[str, str],
) -> None:
    number, now = conversation.id or 0, line.now()
    session.add(ConversationEvent(conversation_id=number, at=now, kind=kind, agent_id=by.id if by else None, data=data))
    await session.flush()
    await line.live.publish(session, "conversation", [number], now)
