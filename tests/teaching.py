"""Many analysed messages at once, for tests of samples, figures and shifts."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.database import insert_numbered, insert_rows
from socialcrm.domain.rows import Agent, Analysis, Channel, Contact, Conversation, Correction, Message
from socialcrm.domain.teaching import Source


@dataclass
class Archive:
    """Adds messages, each of a conversation per channel, and what people said of them."""

    session: AsyncSession
    at: datetime
    channels: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    agents: dict[str, int] = field(default_factory=dict)

    async def messages(
        self,
        count: int = 1,
        *,
        at: datetime | None = None,
        channel: str = "chat",
        text: str = "bonjour",
        score: float = 0.9,
        model: str = "model-1",
        **labels: object,
    ) -> list[int]:
        """Messages that the model read in one way: French, neutral, no complaint, other, unless `labels` say else."""
        channel_id, contact_id, conversation_id = self.channels.get(channel) or await self._open(channel)
        at = at or self.at
        row = {
            "conversation_id": conversation_id,
            "channel_id": channel_id,
            "contact_id": contact_id,
            "direction": "in",
            "kind": "direct_message",
            "author_kind": "contact",
            "text": text,
            "sent_at": at,
            "received_at": at,
        }
        numbers = await insert_numbered(self.session, Message, [row] * count)
        read = {
            "language": "fr",
            "sentiment": "neutral",
            "is_complaint": False,
            "intent": "other",
            "reason": "other",
            **labels,
            "model": model,
            "analyzed_at": at,
        }
        scores = {f"{name}_score": score for name in ("language", "sentiment", "complaint", "intent", "reason")}
        rows = [{"message_id": number, **read, **scores} for number in numbers]
        await insert_rows(self.session, Analysis, rows)
        return numbers

    async def say(
        self, numbers: list[int], name: str, predicted: str, label: str, *, source: Source = Source.SAMPLE
    ) -> None:
        """A person's label for a field of messages."""
        agent_id = self.agents.get("Nadia") or await self._agent("Nadia")
        rows = [
            {
                "message_id": number,
                "field": name,
                "label": label,
                "predicted": predicted,
                "score": 0.9,
                "model": "model-1",
                "agent_id": agent_id,
                "source": source.value,
                "made_at": self.at,
            }
            for number in numbers
        ]
        await insert_rows(self.session, Correction, rows)

    async def _agent(self, name: str) -> int:
        agent = Agent(email=f"{name.lower()}@archive.example", name=name, created_at=self.at)
        self.session.add(agent)
        await self.session.flush()
        self.agents[name] = agent.id or 0
        return self.agents[name]

    async def _open(self, name: str) -> tuple[int, int, int]:
        channel = Channel(connector="echo", key=name, name=name, created_at=self.at, changed_at=self.at)
        contact = Contact(name="Customer", created_at=self.at)
        self.session.add_all([channel, contact])
        await self.session.flush()
        conversation = Conversation(
            channel_id=channel.id or 0,
            contact_id=contact.id or 0,
            thread_key=name,
            kind="direct_message",
            status="resolved",
            opened_at=self.at,
            last_message_at=self.at,
        )
        self.session.add(conversation)
        await self.session.flush()
        self.channels[name] = (channel.id or 0, contact.id or 0, conversation.id or 0)
        return self.channels[name]
