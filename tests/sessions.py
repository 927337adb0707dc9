"""Agents who are signed in already, for tests that are not about signing in: a password takes its time on purpose."""

from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col

from socialcrm.domain.rows import Agent, WebSession
from socialcrm.engine.line import Line
from socialcrm.secrets import new_token, token_hash

CSRF = "the-token-of-this-session"


async def open_session(line: Line, agent: Agent) -> str:
    """A session as the sign-in page leaves one, with the agent online; returns what the browser's cookie holds."""
    now, token = line.now(), new_token()
    async with line.database.write() as session:
        await session.execute(update(Agent).where(col(Agent.id) == agent.id).values(presence="online"))
        session.add(
            WebSession(
                token_hash=token_hash(token),
                csrf_token=CSRF,
                agent_id=agent.id or 0,
                created_at=now,
                seen_at=now,
                expires_at=now + timedelta(hours=1),
            )
        )
    return token
