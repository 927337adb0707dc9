"""The roster: who is here, what they can do, and how much they have to do."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation, ConversationStatus
from socialcrm.domain.people import Agent, Presence, Role, Team, TeamMember
from socialcrm.domain.routing import CHATS, COMMENTS, Overflow, Routing, Seat
from socialcrm.domain.work_hours import is_working
from socialcrm.engine.line import Line

BUSY = (ConversationStatus.OPEN, ConversationStatus.PENDING)


@dataclass(frozen=True)
class Roster:
    """The seats of those who get work now, and which team helps which."""

    seats: Sequence[Seat]
    overflows: dict[int, Overflow]

    @property
    def room(self) -> dict[str, set[int]]:
        """Kind of work -> the teams whose conversations somebody could take: their own, and those that they help."""
        found: dict[str, set[int]] = {}
        for seat in self.seats:
            for bucket in seat.limits:
                if seat.has_room(bucket) and seat.team_ids:
                    found.setdefault(bucket, set()).update(seat.team_ids)
        for free in found.values():
            free |= {team for team, other in self.overflows.items() if other.team_id in free}
        return found

    @property
    def free(self) -> list[Seat]:
        """Those who can take anything."""
        return [seat for seat in self.seats if any(seat.has_room(bucket) for bucket in seat.limits)]


async def load(session: AsyncSession, line: Line, routing: Routing) -> Roster:
    """Who of role agent is online and within their hours, with what they have."""
    here = (col(Agent.presence) == Presence.ONLINE, col(Agent.is_active), col(Agent.role) == Role.AGENT)
    agents = (await session.execute(select(Agent).where(*here).order_by(col(Agent.id)))).scalars().all()
    local = line.now().astimezone(ZoneInfo(line.settings.engagement.time_zone))
    working = [agent for agent in agents if is_working(agent.hours, local)]
    return Roster(await seats_of(session, working, routing), await overflows(session))


async def seats_of(session: AsyncSession, agents: Sequence[Agent], routing: Routing) -> list[Seat]:
    """The seats of some agents, present or not."""
    numbers = [agent.id for agent in agents]
    teams = defaultdict(set)
    members = select(col(TeamMember.agent_id), col(TeamMember.team_id)).where(col(TeamMember.agent_id).in_(numbers))
    for agent_id, team_id in (await session.execute(members)).all():
        teams[agent_id].add(team_id)
    busy = await loads(session, [number for number in numbers if number], routing)
    buckets = (CHATS, COMMENTS, *routing.apart)
    return [
        Seat(
            agent_id=agent.id,
            name=agent.name,
            team_ids=frozenset(teams[agent.id]),
            languages=frozenset(agent.languages),
            skills=frozenset(agent.skills),
            limits={bucket: routing.limit(bucket, agent.capacity) for bucket in buckets},
            busy=busy[agent.id],
            given_at=agent.assigned_at.timestamp() if agent.assigned_at else 0.0,
        )
        for agent in agents
        if agent.id is not None
    ]


async def loads(session: AsyncSession, agent_ids: Sequence[int], routing: Routing) -> dict[int, dict[str, int]]:
    """How much of each kind agents have."""
    query = (
        select(col(Conversation.agent_id), col(Channel.connector), col(Conversation.kind), func.count())
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .where(col(Conversation.agent_id).in_(agent_ids), col(Conversation.status).in_(BUSY))
        .group_by(col(Conversation.agent_id), col(Channel.connector), col(Conversation.kind))
    )
    busy: dict[int, dict[str, int]] = {number: {} for number in agent_ids}
    for agent_id, connector, kind, number in (await session.execute(query)).all():
        if agent_id is None:
            continue
        bucket = routing.bucket(connector, kind)
        busy[agent_id][bucket] = busy[agent_id].get(bucket, 0) + number
    return busy


async def overflows(session: AsyncSession) -> dict[int, Overflow]:
    """Team -> who helps it out, and after how long."""
    query = select(Team).where(col(Team.overflow_team_id).is_not(None))
    return {
        team.id: Overflow(team.overflow_team_id, timedelta(minutes=team.overflow_minutes))
        for team in (await session.execute(query)).scalars()
        if team.id is not None and team.overflow_team_id is not None
    }
