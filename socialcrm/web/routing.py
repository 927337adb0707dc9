"""Routing: how work is given out, what makes it urgent, and who can do what."""

from typing import Any

from aiohttp import web
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.registry import CONNECTORS, connector_class
from socialcrm.domain.channel import Channel
from socialcrm.domain.people import Agent, Team, TeamMember
from socialcrm.engine.roster import seats_of
from socialcrm.engine.routing import newest_version, routing_in_force, save
from socialcrm.web.conversation import ACTING
from socialcrm.web.guard import needs
from socialcrm.web.i18n import Formats, language
from socialcrm.web.keys import AGENT, LINE
from socialcrm.web.moving import MOVING
from socialcrm.web.page import page
from socialcrm.web.routing_form import (
    DAYS,
    LIMITS,
    TIMES,
    WEIGHTS,
    Wrong,
    read_person,
    read_routing,
    read_team,
    shown_person,
    shown_routing,
)
from socialcrm.web.words import WORDS

routes = web.RouteTableDef()


@routes.get("/automation/routing", name="routing")
@needs(*MOVING)
async def routing(request: web.Request) -> web.Response:
    """The settings, the teams and the people."""
    return await _page(request)


@routes.post("/automation/routing")
@needs(*MOVING)
async def save_routing(request: web.Request) -> web.StreamResponse:
    """Put other settings in force; what is wrong stands beside its field, and nothing is saved."""
    line, sent = request.app[LINE], await _sent(request)
    async with line.database.read() as session:
        apart, teams = await _connectors(session), await _teams(session)
    try:
        new = read_routing(sent, apart, [team.id for team in teams])
    except Wrong as wrong:
        return await _page(request, 422, values=sent, errors=wrong.errors)
    async with line.database.write() as session:
        await save(session, line, new, request[AGENT])
    line.work.set()
    raise web.HTTPSeeOther("/automation/routing?saved=settings")


@routes.post(r"/automation/routing/teams/{id:\d{1,18}}", name="routing_team")
@needs(*MOVING)
async def save_team(request: web.Request) -> web.StreamResponse:
    """Who helps a team out, and when."""
    line, number, sent = request.app[LINE], int(request.match_info["id"]), await _sent(request)
    async with line.database.write() as session:
        teams = {team.id: team for team in await _teams(session)}
        if number not in teams:
            raise web.HTTPNotFound
        try:
            helper, minutes = read_team(sent, number, list(teams))
        except Wrong as wrong:
            return await _page(request, 422, team_errors={number: wrong.errors}, team_sent={number: sent})
        teams[number].overflow_team_id, teams[number].overflow_minutes = helper, minutes
    line.work.set()
    raise web.HTTPSeeOther("/automation/routing?saved=team#teams")


@routes.post(r"/automation/routing/people/{id:\d{1,18}}", name="routing_person")
@needs(*MOVING)
async def save_person(request: web.Request) -> web.StreamResponse:
    """What somebody can do: teams, languages, skills, how much, and when they work."""
    line, number = request.app[LINE], int(request.match_info["id"])
    form = await request.post()
    sent, chosen = await _sent(request), [int(str(v)) for v in form.getall("team", []) if str(v).isdigit()]
    spoken = [str(v) for v in form.getall("language", [])]
    async with line.database.write() as session:
        agent = await session.get(Agent, number, with_for_update=True)
        if agent is None or not agent.is_active:
            raise web.HTTPNotFound
        known = {team.id for team in await _teams(session)}
        try:
            values = read_person(sent, await _connectors(session))
        except Wrong as wrong:
            shown = {**sent, "teams": chosen, "languages": spoken}
            return await _page(request, 422, person_errors={number: wrong.errors}, person_sent={number: shown})
        agent.skills, agent.capacity, agent.hours = values.skills, values.capacity, values.hours
        agent.languages = [language for language in WORDS["language"] if language in spoken and language != "other"]
        await session.execute(delete(TeamMember).where(col(TeamMember.agent_id) == number))
        session.add_all(TeamMember(team_id=team, agent_id=number) for team in chosen if team in known)
    line.work.set()
    raise web.HTTPSeeOther(f"/automation/routing?saved=person#person-{number}")


async def _page(
    request: web.Request,
    status: int = 200,
    *,
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    team_errors: dict[int, dict[str, str]] | None = None,
    team_sent: dict[int, dict[str, str]] | None = None,
    person_errors: dict[int, dict[str, str]] | None = None,
    person_sent: dict[int, dict[str, Any]] | None = None,
) -> web.Response:
    line = request.app[LINE]
    async with line.database.read() as session:
        now = await routing_in_force(session, line)
        teams = await _teams(session)
        query = select(Agent).where(col(Agent.is_active), col(Agent.role).in_(ACTING)).order_by(col(Agent.name))
        agents = (await session.execute(query)).scalars().all()
        seats = {seat.agent_id: seat for seat in await seats_of(session, agents, now)}
        newest = await newest_version(session)
        by = await session.get(Agent, newest.changed_by) if newest and newest.changed_by else None
        apart = await _connectors(session)
    people = {a.id: {**shown_person(a, seats[a.id or 0]), **(person_sent or {}).get(a.id or 0, {})} for a in agents}
    return await page(
        request,
        "routing/routing.html",
        status,
        nav="automation",
        routing=now,
        values=values or shown_routing(now),
        errors=errors or {},
        limits=LIMITS,
        times=TIMES,
        weights=WEIGHTS,
        days=[Formats(language(request), "UTC").locale.days["stand-alone"]["wide"][day] for day in range(DAYS)],
        apart=[(name, _label(name)) for name in apart],
        teams=teams,
        team_errors=team_errors or {},
        team_sent=team_sent or {},
        agents=agents,
        people=people,
        person_errors=person_errors or {},
        languages_spoken=[name for name in WORDS["language"] if name != "other"],
        version=newest,
        version_by=by.name if by else "",
        saved=request.query.get("saved", ""),
    )


async def _teams(session: AsyncSession) -> list[Team]:
    return list((await session.execute(select(Team).order_by(col(Team.name)))).scalars())


async def _connectors(session: AsyncSession) -> list[str]:
    """The kinds of channels that there are."""
    return sorted((await session.execute(select(col(Channel.connector)).distinct())).scalars())


def _label(name: str) -> str:
    return connector_class(name).label if name in CONNECTORS else name


async def _sent(request: web.Request) -> dict[str, str]:
    form = await request.post()
    return {key: value for key, value in form.items() if isinstance(value, str)}
