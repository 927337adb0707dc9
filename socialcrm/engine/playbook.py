"""The playbook: what an admin decided about the bot, and the flows in force; shipped ones until they are edited."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.bot import BotPlanRow, FlowRow, FlowVersion, Plan
from socialcrm.domain.engagement import EngagementError
from socialcrm.domain.flow import Flow, FlowError, read_flow
from socialcrm.domain.flow_check import check_flow
from socialcrm.domain.people import Agent
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A flow as it is now; `number` and `version` are 0 of a shipped one."""

    flow: Flow
    source: str
    is_on: bool = False
    number: int = 0
    version: int = 0
    version_id: int | None = None


@dataclass(frozen=True)
class Playbook:
    """All that the bot goes by."""

    plan: Plan
    known: Mapping[str, Known]

    @property
    def flows(self) -> dict[str, Flow]:
        """Every flow by its name."""
        return {name: known.flow for name, known in self.known.items()}

    @property
    def starting(self) -> list[Flow]:
        """Those that begin by themselves."""
        return [known.flow for known in self.known.values() if known.is_on]


async def playbook(session: AsyncSession, line: Line) -> Playbook:
    """What is in force now."""
    row = (await session.execute(select(BotPlanRow).order_by(col(BotPlanRow.id).desc()).limit(1))).scalar_one_or_none()
    found = dict(shipped(line.settings.bot.flows))
    query = (
        select(FlowRow, col(FlowVersion.source))
        .join(FlowVersion, col(FlowVersion.id) == col(FlowRow.version_id), isouter=True)
        .order_by(col(FlowRow.id))
    )
    for flow, source in (await session.execute(query)).all():
        known = found.get(flow.name)
        if source is None and known is not None:  # a shipped one that was only switched on or off
            found[flow.name] = Known(known.flow, known.source, flow.is_on, flow.id or 0)
        elif source is not None:
            read = _read(source)
            found[flow.name] = Known(read, source, flow.is_on, flow.id or 0, flow.version, flow.version_id)
    return Playbook(Plan.model_validate(row.body) if row else Plan(), found)


async def version_of(session: AsyncSession, book: Playbook, name: str, version_id: int | None) -> Flow | None:
    """A flow as it was in a version, in which a conversation goes on; None where it is gone."""
    known = book.known.get(name)
    if known is not None and known.version_id == version_id:
        return known.flow
    row = await session.get(FlowVersion, version_id) if version_id else None
    if row is not None:
        return _read(row.source)
    return known.flow if known else None


def mistakes(line: Line, book: Playbook, source: str, name: str = "") -> tuple[Flow | None, list[FlowError]]:
    """The flow of a text, and everything that is wrong with it. `name`: the flow that the text is to replace."""
    try:
        flow = read_flow(source)
    except FlowError as error:
        return None, [error]
    found = check_flow(flow, {entry.id for entry in line.engagement.questions}, book.flows)
    if name and flow.name != name:
        found.insert(0, FlowError("name: this flow is called “%(name)s”; make a new one for another name.", name=name))
    elif not name and flow.name in book.known:
        found.insert(0, FlowError("name: there is a flow called “%(name)s” already.", name=flow.name))
    return flow, found


async def save_flow(session: AsyncSession, line: Line, source: str, name: str, by: Agent | None) -> Flow:
    """Keep a new version of the flow `name`, or a new flow where it is empty. Raises FlowError before anything."""
    book = await playbook(session, line)
    flow, wrong = mistakes(line, book, source, name)
    if wrong or flow is None:
        raise wrong[0]
    row = await _row(session, line, flow.name)
    if row.version_id is not None and book.known[flow.name].source == source:
        return flow
    newest = select(func.max(FlowVersion.version)).where(col(FlowVersion.flow_id) == row.id)
    number = (await session.scalar(newest) or 0) + 1
    version = FlowVersion(
        flow_id=row.id or 0, version=number, source=source, agent_id=by.id if by else None, at=line.now()
    )
    session.add(version)
    await session.flush()
    row.version, row.version_id, row.changed_at = number, version.id, line.now()
    await session.flush()
    return flow


async def switch(session: AsyncSession, line: Line, name: str, is_on: bool) -> None:
    """Let a flow begin by itself, or no more. A conversation that is in it goes on."""
    row = await _row(session, line, name)
    row.is_on, row.changed_at = is_on, line.now()
    await session.flush()


async def versions(session: AsyncSession, name: str) -> Sequence[tuple[FlowVersion, str | None]]:
    """The versions of a flow with who wrote them, the newest first."""
    query = (
        select(FlowVersion, col(Agent.name))
        .join(FlowRow, col(FlowRow.id) == col(FlowVersion.flow_id))
        .join(Agent, col(Agent.id) == col(FlowVersion.agent_id), isouter=True)
        .where(col(FlowRow.name) == name)
        .order_by(col(FlowVersion.version).desc())
        .limit(50)
    )
    return [(row[0], row[1]) for row in (await session.execute(query)).all()]


async def save_plan(session: AsyncSession, line: Line, plan: Plan, by: Agent | None) -> None:
    """Keep what an admin decided; what was before stays as history."""
    session.add(BotPlanRow(body=plan.model_dump(), agent_id=by.id if by else None, at=line.now()))
    await session.flush()


async def _row(session: AsyncSession, line: Line, name: str) -> FlowRow:
    query = select(FlowRow).where(col(FlowRow.name) == name).with_for_update()
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None:
        row = FlowRow(name=name, changed_at=line.now())
        session.add(row)
        await session.flush()
    return row


@lru_cache(maxsize=4)
def shipped(folder: Path) -> Mapping[str, Known]:
    """The flows of a fresh installation. Raises EngagementError."""
    found = {}
    for file in sorted(folder.glob("*.toml")):
        source = file.read_text(encoding="utf-8")
        try:
            flow = read_flow(source)
        except FlowError as error:
            raise EngagementError(f"{file}: {error}") from error
        found[flow.name] = Known(flow, source)
    return found


@lru_cache(maxsize=200)
def _read(source: str) -> Flow:
    return read_flow(source)
