"""Assign: who looks after a conversation. By hand, or the longest-waiting present agent who has room."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Handler
from socialcrm.domain.people import Agent, Presence, Role, TeamMember
from socialcrm.engine.line import Line

BUSY = (ConversationStatus.OPEN, ConversationStatus.PENDING)


async def assign(
    session: AsyncSession, line: Line, conversation: Conversation, agent_id: int | None, by: Agent
) -> None:
    """Give a conversation to an agent, or to nobody."""
    now = line.now()
    conversation.agent_id = agent_id
    if agent_id is not None:
        conversation.handler = Handler.HUMAN
    session.add(_event(conversation, line, by.id, agent_id))
    await session.flush()
    await line.live.publish(session, "conversation", [conversation.id or 0], now)


async def take(session: AsyncSession, line: Line, conversation_id: int, agent: Agent) -> bool:
    """Take an unassigned conversation; False when somebody else was quicker. One conditional update decides."""
    change = (
        update(Conversation)
        .where(col(Conversation.id) == conversation_id, col(Conversation.agent_id).is_(None))
        .values(agent_id=agent.id, handler=Handler.HUMAN.value)
    )
    if getattr(await session.execute(change), "rowcount", 0) != 1:
        return False
    conversation = await session.get_one(Conversation, conversation_id, populate_existing=True)
    session.add(_event(conversation, line, agent.id, agent.id))
    await session.flush()
    await line.live.publish(session, "conversation", [conversation_id], line.now())
    return True


class Roster:
    """The present people of role agent in each team and the room they have left; locked until the session ends, so
    that two processes do not fill the same place."""

    def __init__(self, agents: Sequence[tuple[Agent, int]], rooms: dict[int, int]) -> None:
        self._agents = agents
        self._rooms = rooms

    @classmethod
    async def load(cls, session: AsyncSession, line: Line) -> "Roster":
        """Read who is here. Waits for another process that is giving out work."""
        query = (
            select(Agent, col(TeamMember.team_id))
            .join(TeamMember, col(TeamMember.agent_id) == col(Agent.id))
            .where(col(Agent.presence) == Presence.ONLINE, col(Agent.is_active), col(Agent.role) == Role.AGENT)
            .order_by(col(Agent.id))
            .with_for_update(of=Agent, key_share=True)
        )
        agents = [(agent, team_id) for agent, team_id in (await session.execute(query)).all()]
        load = (
            select(col(Conversation.agent_id), func.count())
            .where(
                col(Conversation.agent_id).in_({agent.id for agent, _ in agents}),
                col(Conversation.status).in_(BUSY),
            )
            .group_by(col(Conversation.agent_id))
        )
        busy = {agent_id: number for agent_id, number in (await session.execute(load)).all()}
        limit = line.settings.engagement.chats_per_agent
        return cls(agents, {a.id: limit - busy.get(a.id, 0) for a, _ in agents if a.id is not None})

    def next(self, line: Line, team_id: int | None) -> Agent | None:
        """The agent of the team who has room and was given work longest ago; the place counts as taken."""
        free = [a for a, team in self._agents if team == team_id and a.id is not None and self._rooms[a.id] > 0]
        if not free:
            return None
        agent = min(free, key=lambda a: (a.assigned_at.timestamp() if a.assigned_at else 0.0, a.id or 0))
        agent.assigned_at = line.now()
        self._rooms[agent.id or 0] -= 1
        return agent

    @property
    def has_room(self) -> bool:
        """Whether anybody can take anything."""
        return any(room > 0 for room in self._rooms.values())


def _event(conversation: Conversation, line: Line, by: int | None, agent_id: int | None) -> ConversationEvent:
    return ConversationEvent(
        conversation_id=conversation.id or 0,
        at=line.now(),
        kind=EventKind.ASSIGNED,
        agent_id=by,
        data={"agent_id": agent_id},
    )
