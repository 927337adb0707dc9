"""What is known when rules are tried: read once for a batch, and only what some rule asks about."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.calendar import Calendar
from socialcrm.domain.contact import Identity
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.facts import Facts
from socialcrm.domain.message import Analysis, Message
from socialcrm.domain.rule import RuleFiring
from socialcrm.domain.triage import Ready
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.carry_out import Batch
from socialcrm.engine.line import Line

DAY = timedelta(days=1)


READ = (
    Message.id,
    Message.conversation_id,
    Message.contact_id,
    Message.external_id,
    Message.text,
    Message.kind,
    Message.processed_at,
    Message.is_late,
    Message.is_found,
    Message.question_id,
    Message.attachments,
    Analysis.language,
    Analysis.sentiment,
    Analysis.is_complaint,
    Analysis.intent,
    Analysis.unsure,
    Analysis.reason,
    Analysis.language_score,
    Analysis.sentiment_score,
    Analysis.complaint_score,
    Analysis.intent_score,
)


@dataclass(frozen=True)
class Analysed:
    """What triage reads of a message and its analysis: the columns of READ, in that order."""

    id: int
    conversation_id: int
    contact_id: int
    external_id: str | None
    text: str
    kind: str
    processed_at: datetime | None
    is_late: bool
    is_found: bool
    question_id: int | None
    attachments: list[dict[str, Any]]
    language: str
    sentiment: str
    is_complaint: bool
    intent: str
    unsure: list[str]
    reason: str | None
    language_score: float
    sentiment_score: float
    complaint_score: float
    intent_score: float


@dataclass(frozen=True)
class Known:
    """What had to be asked of the database."""

    history: Mapping[int, int] = field(default_factory=dict)
    """Contact -> conversations."""
    stopped: frozenset[tuple[int, int]] = frozenset()
    """Contacts and channels on which they do not want to hear from us."""
    calendars: Mapping[int | None, Calendar] = field(default_factory=dict)
    """Team -> its calendar."""


async def read(
    session: AsyncSession, line: Line, batch: Batch, conversations: Sequence[Conversation], needs: frozenset[str]
) -> Known:
    """What these needs ask for."""
    people = list(batch.contacts)
    history: dict[int, int] = {}
    if "history" in needs:
        count = (
            select(col(Conversation.contact_id), func.count())
            .where(col(Conversation.contact_id).in_(people))
            .group_by(col(Conversation.contact_id))
        )
        history = {number: found for number, found in (await session.execute(count)).all()}
    stopped: frozenset[tuple[int, int]] = frozenset()
    if "consent" in needs:
        who = select(col(Identity.contact_id), col(Identity.channel_id)).where(
            col(Identity.contact_id).in_(people), col(Identity.stopped_at).is_not(None)
        )
        stopped = frozenset((contact, channel) for contact, channel in (await session.execute(who)).all())
    calendars: dict[int | None, Calendar] = {}
    if "calendar" in needs:
        for team in {None, *(c.team_id for c in conversations)}:
            calendars[team] = await calendar_for(session, line, team)
    return Known(history, stopped, calendars)


def of_conversation(batch: Batch, conversation: Conversation, extra: Known) -> Facts:
    """The facts without a message."""
    channel, contact = batch.channels[conversation.channel_id], batch.contacts[conversation.contact_id]
    now, waiting = batch.now, conversation.waiting_since_at
    calendar = extra.calendars.get(conversation.team_id) or extra.calendars.get(None)
    local = batch.local_time
    return Facts(
        has_message=False,
        connector=channel.connector,
        channel_key=channel.key,
        local_time=local,
        is_bot=contact.is_bot,
        contact_language=contact.language,
        tier=contact.tier,
        earlier_count=max(extra.history.get(conversation.contact_id, 1) - 1, 0),
        has_open_case=batch.cases.of(conversation, conversation.contact_id) is not None,
        has_stopped=(conversation.contact_id, conversation.channel_id) in extra.stopped,
        status=conversation.status,
        age_hours=_since(now, conversation.opened_at) / 60,
        waiting_minutes=_since(now, waiting) if waiting else 0.0,
        message_count=conversation.message_count,
        labels=tuple(conversation.labels),
        team=batch.team_name(conversation.team_id),
        agent=batch.agent_name(conversation.agent_id),
        priority=conversation.priority,
        handler=conversation.handler,
        is_open=calendar.is_open(now) if calendar else None,
        is_holiday=bool(calendar and calendar.day_off(now.astimezone(calendar.zone).date())),
    )


def with_message(facts: Facts, message: Analysed) -> Facts:
    """The facts with a message and what was understood of it."""
    facts.has_message = True
    facts.text, facts.kind = message.text, message.kind
    facts.language, facts.sentiment, facts.intent = message.language, message.sentiment, message.intent
    facts.is_complaint = message.is_complaint and "complaint" not in message.unsure
    facts.is_sure = not {"sentiment", "complaint"} & set(message.unsure)
    facts.reason = (message.reason or "") if message.is_complaint else ""
    facts.language_score, facts.sentiment_score = message.language_score, message.sentiment_score
    facts.complaint_score, facts.intent_score = message.complaint_score, message.intent_score
    if message.attachments:
        facts.media = tuple(str(entry.get("kind", "document")) for entry in message.attachments)
    return facts


def _since(now: datetime, then: datetime) -> float:
    return max((now - then).total_seconds() / 60, 0.0)


@dataclass
class Limits:
    """How often limited rules fired already."""

    in_conversation: Counter[tuple[int, int]] = field(default_factory=Counter)
    of_person: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Within a day."""

    @classmethod
    async def load(
        cls, session: AsyncSession, batch: Batch, conversations: Sequence[Conversation], rules: Iterable[Ready]
    ) -> "Limits":
        """Count for these conversations and their people; their contacts are locked, so that nobody fires meanwhile."""
        limited = [rule.id for rule in rules if rule.body.is_limited]
        limits = cls()
        if not limited:
            return limits
        count = select(col(RuleFiring.rule_id), func.count()).where(col(RuleFiring.rule_id).in_(limited))
        there = count.add_columns(col(RuleFiring.conversation_id)).where(
            col(RuleFiring.conversation_id).in_([c.id for c in conversations])
        )
        grouped = there.group_by(col(RuleFiring.rule_id), col(RuleFiring.conversation_id))
        for rule, number, conversation in (await session.execute(grouped)).all():
            limits.in_conversation[rule, conversation] = number
        theirs = count.add_columns(col(RuleFiring.contact_id)).where(
            col(RuleFiring.contact_id).in_(list(batch.contacts)), col(RuleFiring.at) > batch.now - DAY
        )
        grouped = theirs.group_by(col(RuleFiring.rule_id), col(RuleFiring.contact_id))
        for rule, number, contact in (await session.execute(grouped)).all():
            limits.of_person[rule, contact] = number
        return limits

    def blocked(self, rule: Ready, conversation: Conversation) -> str:
        """Why a rule may not fire any more, if so."""
        most = rule.body.most_per_conversation
        if most and self.in_conversation[rule.id, conversation.id or 0] >= most:
            return f"it fired {most} times in this conversation, which is its limit"
        most = rule.body.most_per_person_a_day
        if most and self.of_person[rule.id, conversation.contact_id] >= most:
            return f"it fired {most} times for this person within a day, which is its limit"
        return ""

    def count(self, fired: Iterable[Ready], conversation: Conversation) -> None:
        """Rules fired now."""
        for rule in fired:
            if rule.body.is_limited:
                self.in_conversation[rule.id, conversation.id or 0] += 1
                self.of_person[rule.id, conversation.contact_id] += 1
