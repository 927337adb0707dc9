"""The settings of routing: read from their newest row, and saved as a new one."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.people import Agent
from socialcrm.domain.routing import Routing, RoutingVersion
from socialcrm.engine.line import Line


async def routing_in_force(session: AsyncSession, line: Line) -> Routing:
    """The settings now: those saved last, else the defaults with the limit of the settings file."""
    newest = await newest_version(session)
    if newest is None:
        return Routing(chats=line.settings.engagement.chats_per_agent)
    return Routing.model_validate(newest.body)


async def newest_version(session: AsyncSession) -> RoutingVersion | None:
    """Who saved the settings last, and when."""
    query = select(RoutingVersion).order_by(col(RoutingVersion.id).desc()).limit(1)
    return (await session.execute(query)).scalar_one_or_none()


async def tiers(session: AsyncSession) -> list[str]:
    """How loyal a customer can be, in the words of the settings."""
    newest = await newest_version(session)
    routing = Routing.model_validate(newest.body) if newest else Routing()
    return list(routing.weights.tiers)


async def save(session: AsyncSession, line: Line, routing: Routing, by: Agent | None) -> None:
    """Put settings in force."""
    body = routing.model_dump(mode="json")
    session.add(RoutingVersion(body=body, changed_at=line.now(), changed_by=by.id if by else None))
    await session.flush()
