"""The team: who is here, how much everybody has, what waits, and moving work from one to another."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation, is_queued, is_waiting
from socialcrm.domain.people import Agent, Presence, Role, Team, TeamMember
from socialcrm.domain.routing import Routing, Seat
from socialcrm.domain.work_hours import is_working, next_start
from socialcrm.engine.line import Line
from socialcrm.engine.roster import BUSY, overflows, seats_of
from socialcrm.engine.route import why_waiting
from socialcrm.engine.routing import routing_in_force
from socialcrm.web.conversation import ACTING
from socialcrm.web.guard import needs
from socialcrm.web.i18n import say
from socialcrm.web.keys import LINE
from socialcrm.web.moving import MOVING, moved
from socialcrm.web.page import page

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Person:
    """One line of the page."""

    agent: Agent
    seat: Seat
    is_working: bool
    works_again_at: datetime | None
    waiting: int
    """Their customers who wait for an answer."""
    oldest_at: datetime | None

    @property
    def total(self) -> int:
        """Everything that they have."""
        return sum(self.seat.busy.values())

    @property
    def gets_work(self) -> bool:
        """Whether routing gives them anything now."""
        return self.agent.presence == Presence.ONLINE and self.is_working and self.agent.role == Role.AGENT


@dataclass(frozen=True)
class Group:
    """A team with its people; the last one is for what has no team."""

    team: Team | None
    people: list[Person]
    queued: int
    oldest_at: datetime | None
    helper: str
    why: str
    """Why the most urgent one of what is queued waits: a code of `why_waiting`."""


@routes.get("/team", name="team")
@needs(*MOVING)
async def team(request: web.Request) -> web.Response:
    """Who is here and what waits."""
    return await page(request, "team/team.html", nav="team", **await _context(request))


@routes.get("/team/now", name="team_now")
@needs(*MOVING)
async def team_now(request: web.Request) -> web.Response:
    """The same as a part: for htmx, every few seconds."""
    return await page(request, "team/_groups.html", **await _context(request))


@routes.post(r"/team/{id:\d{1,18}}/move", name="team_move")
@needs(*MOVING)
async def move_work(request: web.Request) -> web.StreamResponse:
    """Give away what somebody has: everything, or only what waits for an answer."""
    form = await request.post()
    number = int(request.match_info["id"])
    query = select(col(Conversation.id)).where(col(Conversation.agent_id) == number, col(Conversation.status).in_(BUSY))
    if form.get("which") == "waiting":
        query = query.where(is_waiting())
    async with request.app[LINE].database.read() as session:
        ids = [n for n in (await session.execute(query)).scalars() if n is not None]
    to = str(form.get("to", ""))
    if to == f"agent:{number}":
        raise web.HTTPUnprocessableEntity(text=say(request, "They have it already: choose somebody else."))
    return await moved(request, ids, to)


@routes.post(r"/team/{id:\d{1,18}}/presence", name="team_presence")
@needs(*MOVING)
async def set_presence(request: web.Request) -> web.StreamResponse:
    """Set somebody who forgot to: online, away or offline."""
    line, wanted = request.app[LINE], str((await request.post()).get("presence", ""))
    if wanted not in tuple(Presence):
        raise web.HTTPBadRequest()
    change = update(Agent).where(col(Agent.id) == int(request.match_info["id"]), col(Agent.presence) != wanted)
    async with line.database.write() as session:
        await session.execute(change.values(presence=wanted, presence_note="", presence_at=line.now()))
    line.work.set()
    if "HX-Request" in request.headers:
        return await team_now(request)
    raise web.HTTPSeeOther("/team")


async def _context(request: web.Request) -> dict[str, Any]:
    line = request.app[LINE]
    async with line.database.read() as session:
        routing = await routing_in_force(session, line)
        groups = await _groups(session, line, routing)
    people = {person.agent.id: person.agent for group in groups for person in group.people}
    return {"groups": groups, "everybody": sorted(people.values(), key=lambda agent: agent.name)}


async def _groups(session: AsyncSession, line: Line, routing: Routing) -> list[Group]:
    people = await _people(session, line, routing)
    members = defaultdict(list)
    for team_id, agent_id in (await session.execute(select(col(TeamMember.team_id), col(TeamMember.agent_id)))).all():
        if agent_id in people:
            members[team_id].append(people[agent_id])
    queued = {
        team_id: (count, oldest)
        for team_id, count, oldest in (
            await session.execute(
                select(col(Conversation.team_id), func.count(), func.min(col(Conversation.queued_at)))
                .where(is_queued())
                .group_by(col(Conversation.team_id))
            )
        ).all()
    }
    teams = {t.id: t for t in (await session.execute(select(Team).order_by(col(Team.name)))).scalars()}
    helping = await overflows(session)
    first = [await _most_urgent(session, number) for number in queued]
    reasons = await why_waiting(session, line, [number for number in first if number is not None])
    why = {team_id: reasons.get(number or 0, "") for team_id, number in zip(queued, first, strict=True)}
    groups = [
        Group(
            found,
            sorted(members[number], key=lambda p: (_order(p), p.agent.name)),
            *queued.get(number, (0, None)),
            teams[helping[number].team_id].name if number in helping else "",
            why.get(number, ""),
        )
        for number, found in teams.items()
        if number is not None
    ]
    teamless = [p for n, p in people.items() if not any(p in found for found in members.values())]
    if None in queued or teamless:
        groups.append(Group(None, teamless, *queued.get(None, (0, None)), "", why.get(None, "")))
    return groups


async def _most_urgent(session: AsyncSession, team_id: int | None) -> int | None:
    team = col(Conversation.team_id)
    query = select(col(Conversation.id)).where(is_queued(), team.is_(None) if team_id is None else team == team_id)
    number: int | None = await session.scalar(
        query.order_by(col(Conversation.score).desc(), col(Conversation.id)).limit(1)
    )
    return number


def _order(person: Person) -> int:
    return list(Presence).index(Presence(person.agent.presence))


async def _people(session: AsyncSession, line: Line, routing: Routing) -> dict[int, Person]:
    query = select(Agent).where(col(Agent.is_active), col(Agent.role).in_(ACTING)).order_by(col(Agent.name))
    agents = (await session.execute(query)).scalars().all()
    seats = {seat.agent_id: seat for seat in await seats_of(session, agents, routing)}
    waiting = {
        number: (count, oldest)
        for number, count, oldest in (
            await session.execute(
                select(col(Conversation.agent_id), func.count(), func.min(col(Conversation.waiting_since_at)))
                .where(is_waiting(), col(Conversation.agent_id).is_not(None))
                .group_by(col(Conversation.agent_id))
            )
        ).all()
    }
    local = line.now().astimezone(ZoneInfo(line.settings.engagement.time_zone))
    return {
        agent.id: Person(
            agent,
            seats[agent.id],
            is_working(agent.hours, local),
            next_start(agent.hours, local),
            *waiting.get(agent.id, (0, None)),
        )
        for agent in agents
        if agent.id is not None
    }
