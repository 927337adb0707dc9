"""A small company whose figures are known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.database import Database
from socialcrm.domain.rows import Agent, Analysis, Channel, Contact, Conversation, Message, Resolution, Survey, Team


@dataclass
class Company:
    """Adds rows to one session; numbers of what it made are in `ids`."""

    session: AsyncSession
    at: datetime
    ids: dict[str, int] = field(default_factory=dict)

    async def channel(self, name: str) -> int:
        """A channel; the same name gives the same one."""
        return self.ids.get(name) or await self._add(
            name, Channel(connector="echo", key=name, name=name, created_at=self.at, changed_at=self.at)
        )

    async def team(self, name: str) -> int:
        """A team."""
        return self.ids.get(name) or await self._add(name, Team(key=name, name=name))

    async def agent(self, name: str) -> int:
        """An agent."""
        return self.ids.get(name) or await self._add(
            name, Agent(email=f"{name}@shop.example", name=name, created_at=self.at)
        )

    async def conversation(
        self, channel: str = "chat", team: str | None = None, opened_at: datetime | None = None, language: str = "fr"
    ) -> int:
        """A resolved conversation with a contact of its own."""
        number = len(self.ids)
        contact_id = await self._add(f"contact {number}", Contact(name=f"Customer {number}", created_at=self.at))
        conversation = Conversation(
            channel_id=await self.channel(channel),
            contact_id=contact_id,
            thread_key=str(number),
            kind="direct_message",
            status="resolved",
            team_id=await self.team(team) if team else None,
            opened_at=opened_at or self.at,
            last_message_at=opened_at or self.at,
            language=language,
        )
        return await self._add(f"conversation {number}", conversation)

    async def message(
        self,
        sent_at: datetime,
        *,
        channel: str = "chat",
        conversation: int | None = None,
        direction: str = "in",
        author: str = "contact",
        text: str = "bonjour",
        sentiment: str = "",
        complaint: bool = False,
        language: str = "fr",
        unsure: Sequence[str] = (),
        team: str | None = None,
        agent: str | None = None,
    ) -> int:
        """A message, analysed when a sentiment is given."""
        conversation_id = conversation or await self.conversation(channel, team, sent_at, language)
        held = await self.session.get_one(Conversation, conversation_id)
        message = Message(
            conversation_id=conversation_id,
            channel_id=held.channel_id,
            contact_id=held.contact_id,
            direction=direction,
            kind="direct_message",
            author_kind=author,
            agent_id=await self.agent(agent) if agent else None,
            text=text,
            sent_at=sent_at,
            received_at=sent_at,
        )
        number = await self._add(f"message {len(self.ids)}", message)
        if sentiment:
            self.session.add(
                Analysis(
                    message_id=number,
                    language=language,
                    language_score=0.9,
                    sentiment=sentiment,
                    sentiment_score=0.9,
                    is_complaint=complaint,
                    complaint_score=0.9,
                    intent="other",
                    intent_score=0.9,
                    unsure=list(unsure),
                    model="test",
                    analyzed_at=sent_at,
                )
            )
        return number

    async def many(self, times: Sequence[datetime]) -> None:
        """Messages of one conversation, not analysed."""
        held = await self.session.get_one(Conversation, await self.conversation())
        row = {
            "conversation_id": held.id,
            "channel_id": held.channel_id,
            "contact_id": held.contact_id,
            "direction": "in",
            "kind": "direct_message",
            "author_kind": "contact",
            "text": "salut",
            "attachments": [],
            "buttons": [],
            "step": "done",
            "delivery": "none",
            "delivery_error": "",
        }
        await self.session.execute(insert(Message), [{**row, "sent_at": at, "received_at": at} for at in times])

    async def survey(
        self,
        sent_at: datetime,
        score: int | None = None,
        *,
        agent: str | None = None,
        team: str | None = None,
        channel: str = "chat",
        language: str = "fr",
        kind: str = "csat",
    ) -> Survey:
        """A survey that was sent, and answered when a score is given."""
        conversation_id = await self.conversation(channel, team, sent_at, language)
        held = await self.session.get_one(Conversation, conversation_id)
        resolution = await self._add(
            f"resolution {len(self.ids)}",
            Resolution(conversation_id=conversation_id, resolved_at=sent_at, survey="sent"),
        )
        survey = Survey(
            token=f"token-{resolution}",
            resolution_id=resolution,
            conversation_id=conversation_id,
            contact_id=held.contact_id,
            channel_id=held.channel_id,
            agent_id=await self.agent(agent) if agent else None,
            team_id=held.team_id,
            kind=kind,
            language=language,
            sent_at=sent_at,
            expires_at=sent_at + timedelta(days=7),
            score=score,
            answered_at=sent_at if score else None,
        )
        await self._add(f"survey {len(self.ids)}", survey)
        return survey

    async def _add(
        self, name: str, row: Channel | Team | Agent | Contact | Conversation | Message | Resolution | Survey
    ) -> int:
        self.session.add(row)
        await self.session.flush()
        assert row.id is not None
        self.ids[name] = row.id
        return row.id


@pytest.fixture
async def company(database: Database):
    """An empty company in an open transaction: reports read what it added."""
    async with database.write() as session:
        yield Company(session, datetime.fromisoformat("2026-01-01T12:00:00+00:00"))
