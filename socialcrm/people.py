"""Make and change the people who sign in."""

import re

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import Database
from socialcrm.domain.people import Agent, Role, Team, TeamMember
from socialcrm.engine.line import utc_now
from socialcrm.web.passwords import hash_password

SHORTEST_PASSWORD = 8
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class PersonError(Exception):
    """What is wrong with a new agent; one sentence."""


async def save_agent(
    database: Database, *, email: str, name: str, role: Role, team: str, password: str, languages: tuple[str, ...] = ()
) -> bool:
    """Make an agent, or change the one with this address; True when they are new. Raises PersonError."""
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise PersonError(f"{email!r} is not an e-mail address.")
    if len(password) < SHORTEST_PASSWORD:
        raise PersonError(f"The password should have at least {SHORTEST_PASSWORD} characters.")
    async with database.write() as session:
        agent = (await session.execute(select(Agent).where(col(Agent.email) == email))).scalar_one_or_none()
        is_new = agent is None
        agent = agent or Agent(email=email, name=name or email, created_at=utc_now())
        agent.name = name or agent.name
        agent.role, agent.password_hash = role, hash_password(password)
        agent.failed_count, agent.locked_until_at, agent.is_active = 0, None, True
        if is_new or languages:
            agent.languages = list(languages)
        session.add(agent)
        await session.flush()
        await session.execute(delete(TeamMember).where(col(TeamMember.agent_id) == agent.id))
        session.add(TeamMember(agent_id=agent.id or 0, team_id=await save_team(session, team)))
    return is_new


async def save_team(session: AsyncSession, key: str, name: str = "") -> int:
    """The number of the team with this key, which is made when there is none."""
    team = (await session.execute(select(Team).where(col(Team.key) == key))).scalar_one_or_none()
    if team is None:
        team = Team(key=key, name=name or key.title())
        session.add(team)
        await session.flush()
    return team.id or 0
