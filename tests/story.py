"""A customer, a channel and agents, for tests that read as stories. Everything goes through the real line."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import SQLModel, col

from connectors.base import RawEvent
from connectors.journal import Journal
from socialcrm.domain.rows import (
    Agent,
    Analysis,
    Case,
    Channel,
    Conversation,
    Message,
    OutboxItem,
    RawEventRow,
    RuleTrace,
    Survey,
    Team,
    TeamMember,
)
from socialcrm.engine import ledger
from socialcrm.engine.answer import reply
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import resolve
from socialcrm.engine.schedule import drain
from socialcrm.reports.filters import read_filters
from socialcrm.reports.registry import TABLES

TEAMS = ("support", "facturation", "technique", "commercial")


@dataclass
class Clock:
    """A clock that a test moves."""

    at: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **time: float) -> None:
        self.at += timedelta(**time)


def line_with(line: Line, clock: Clock | None = None, /, **sections: dict[str, Any]) -> Line:
    """The same line with another clock and with some settings changed: `line_with(line, survey={"is_on": False})`."""
    changed = {name: getattr(line.settings, name).model_copy(update=values) for name, values in sections.items()}
    return replace(line, settings=line.settings.model_copy(update=changed), now=clock or line.now)


@dataclass
class Story:
    """One echo channel and what happens on it."""

    line: Line
    channel: Channel
    journal: Journal

    @classmethod
    async def begin(cls, line: Line, key: str = "echo", connector: str = "echo") -> "Story":
        folder = line.settings.storage.folder
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(Path(folder) / f"{key}.jsonl")
        now = line.now()
        channel = Channel(
            connector=connector,
            key=key,
            name=connector.title(),
            settings={"journal": str(journal.path)},
            created_at=now,
            changed_at=now,
        )
        async with line.database.write() as session:
            session.add(channel)
            known = set((await session.execute(select(col(Team.key)))).scalars())
            session.add_all(Team(key=team, name=team.title()) for team in TEAMS if team not in known)
        return cls(line, channel, journal)

    async def agent(self, name: str, *, team: str = "support", presence: str = "online", role: str = "agent") -> Agent:
        async with self.line.database.write() as session:
            agent = Agent(
                email=f"{name.lower()}@example.com", name=name, role=role, presence=presence, created_at=self.line.now()
            )
            session.add(agent)
            await session.flush()
            team_id = (await session.execute(select(col(Team.id)).where(col(Team.key) == team))).scalar_one()
            session.add(TeamMember(team_id=team_id or 0, agent_id=agent.id or 0))
        return agent

    async def customer_writes(
        self,
        text: str,
        *,
        author: str = "lyes",
        number: str = "",
        sent_at: datetime | None = None,
        kind: str = "direct_message",
        drains: bool = True,
        **more: Any,
    ) -> None:
        """One message; `more` goes into its payload as it is: change="edit", thread="post-1"…"""
        event: dict[str, Any] = {
            "id": number or uuid.uuid4().hex,
            "author": author,
            "name": author.title(),
            "text": text,
            "kind": kind,
            "sent_at": (sent_at or self.line.now()).isoformat(),
            **more,
        }
        await self.platform_says([event], drains=drains)

    async def customer_presses(self, value: str, *, author: str = "lyes") -> None:
        await self.platform_says([{"id": uuid.uuid4().hex, "author": author, "button": value}])

    async def platform_says(self, payloads: Sequence[Any], *, drains: bool = True) -> None:
        async with self.line.database.write() as session:
            events = [RawEvent(payload) for payload in payloads]
            await ledger.append(session, self.channel.id or 0, events, self.line.now())
        if drains:
            await drain(self.line)

    async def agent_answers(self, agent: Agent, text: str, key: str = "") -> Message:
        async with self.line.database.write() as session:
            conversation = await session.get_one(Conversation, (await self.conversation()).id)
            message = await reply(session, self.line, conversation, text, agent, key or uuid.uuid4().hex)
        await drain(self.line)
        return message

    async def agent_resolves(self, agent: Agent) -> None:
        async with self.line.database.write() as session:
            conversation = await session.get_one(Conversation, (await self.conversation()).id)
            await resolve(session, self.line, conversation, agent)
        await drain(self.line)

    def sent(self) -> list[dict[str, Any]]:
        return self.journal.lines()

    async def rows(self, table: type[SQLModel]) -> Sequence[Any]:
        async with self.line.database.read() as session:
            return (
                (await session.execute(select(table).order_by(next(iter(table.__table__.primary_key))))).scalars().all()
            )  # type: ignore[attr-defined]

    async def messages(self, direction: str = "in") -> list[Message]:
        return [m for m in await self.rows(Message) if m.direction == direction]

    async def fates(self) -> list[tuple[str, str]]:
        """What became of each raw event, and why."""
        return [(row.fate, row.reason) for row in await self.rows(RawEventRow)]

    async def outbox(self) -> list[tuple[str, str]]:
        """Where each outgoing text is, and why."""
        return [(item.status, item.reason) for item in await self.rows(OutboxItem)]

    async def channel_now(self) -> Channel:
        async with self.line.database.read() as session:
            return await session.get_one(Channel, self.channel.id)

    async def conversation(self) -> Conversation:
        return list(await self.rows(Conversation))[-1]  # type: ignore[no-any-return]

    async def last_understood(self) -> tuple[Message, Analysis]:
        async with self.line.database.read() as session:
            query = select(Message, Analysis).join(Analysis, col(Analysis.message_id) == col(Message.id))
            row = (await session.execute(query.order_by(col(Message.id).desc()))).first()
            assert row is not None
            return row[0], row[1]

    async def case(self) -> Case:
        return list(await self.rows(Case))[-1]  # type: ignore[no-any-return]

    async def survey(self) -> Survey:
        return list(await self.rows(Survey))[-1]  # type: ignore[no-any-return]

    async def report(self) -> dict[str, Any]:
        """Today's figures, as the Reports page shows them."""
        zone = ZoneInfo(self.line.settings.engagement.time_zone)
        filters = read_filters({"days": "7"}, self.line.now(), zone)
        async with self.line.database.read() as session:
            tables = {name: await TABLES[name](session, filters) for name in ("sentiment", "complaints", "csat")}
        return {name: table.rows[-1] for name, table in tables.items()}

    async def trace(self, message: Message) -> list[dict[str, Any]]:
        async with self.line.database.read() as session:
            query = select(RuleTrace).where(col(RuleTrace.message_id) == message.id)
            return (await session.execute(query)).scalar_one().lines
