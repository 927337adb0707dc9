"""Back-test: a draft rule on the messages of the last days, without acting."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain import conditions
from socialcrm.domain.calendar import Calendar
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationEvent
from socialcrm.domain.facts import Facts
from socialcrm.domain.message import Analysis, AuthorKind, Direction, Message
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.rulebook import MESSAGE, SILENCES, Body, Reply, ReplyInPrivate, RuleError
from socialcrm.domain.triage import Ready, ready
from socialcrm.domain.trial import Answer, Past, Trial
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.line import Line

BATCH = 2000
MOST_DAYS = 366
COLUMNS = (
    *(col(Message.id), col(Message.conversation_id), col(Message.contact_id), col(Message.text), col(Message.kind)),
    *(col(Message.sent_at), col(Message.attachments), col(Message.channel_id), col(Message.is_found)),
    *(col(Analysis.language), col(Analysis.sentiment), col(Analysis.is_complaint), col(Analysis.intent)),
    *(col(Analysis.unsure), col(Analysis.reason), col(Analysis.language_score), col(Analysis.sentiment_score)),
    *(col(Analysis.complaint_score), col(Analysis.intent_score)),
    *(col(Conversation.opened_at), col(Conversation.labels), col(Conversation.team_id), col(Conversation.agent_id)),
    *(col(Conversation.priority), col(Conversation.handler), col(Conversation.message_count)),
)
"""Columns and not rows: half of the time would go into making objects."""


@dataclass
class Comparison:
    """What came of one rule, or of two on the same messages."""

    trials: list[Trial]
    since: datetime
    until: datetime
    total: int = 0
    done: int = 0
    only_first: int = 0
    only_second: int = 0
    both: int = 0
    seconds: float = 0.0


@dataclass
class _Setting:
    channels: Mapping[int, Channel]
    teams: Mapping[int, str]
    agents: Mapping[int, str]
    zone: ZoneInfo
    needs: frozenset[str]
    calendars: dict[int | None, Calendar] = field(default_factory=dict)


async def backtest(
    line: Line, bodies: Sequence[Body], days: int, on_step: Callable[[Comparison], None] = lambda found: None
) -> Comparison:
    """Try one rule, or two, on the customers' messages of the last `days`. Labels, team, priority and agent of a
    conversation are taken as they are now, for nobody wrote down what they were then. Raises RuleError for rules that
    wait for silence."""
    if any(body.on in SILENCES for body in bodies):
        raise RuleError("A rule on silence cannot be tried on the past: it depends on what nobody did.")
    clock = asyncio.get_running_loop().time
    begin, now = clock(), line.now()
    since = now - timedelta(days=min(days, MOST_DAYS))
    rules = [ready(body) for body in bodies]
    found = Comparison([Trial() for _ in rules], since, now)
    async with line.database.read() as session:
        found.total = await session.scalar(_count(bodies[0].on, since)) or 0
        setting = await _setting(session, line, rules)
        on_step(found)
        async for rows in _batches(session, bodies[0].on, since):
            await _take(session, line, rules, found, setting, rows)
            found.done += len(rows)
            found.seconds = clock() - begin
            on_step(found)
            await asyncio.sleep(0)  # pages are answered meanwhile
    found.seconds = clock() - begin
    if len(rules) == 2:
        first, second = (trial.fired_on for trial in found.trials)
        found.both = len(first & second)
        found.only_first, found.only_second = len(first) - found.both, len(second) - found.both
    return found


def _theirs(since: datetime) -> tuple[Any, ...]:
    return (col(Message.direction) == Direction.IN.value, col(Message.sent_at) >= since)


def _count(event: str, since: datetime) -> Any:
    if event == MESSAGE:
        return select(func.count()).select_from(Message).where(*_theirs(since))
    events = select(func.count()).select_from(ConversationEvent)
    return events.where(col(ConversationEvent.kind) == event, col(ConversationEvent.at) >= since)


async def _batches(session: AsyncSession, event: str, since: datetime) -> AsyncIterator[Sequence[Row[Any]]]:
    """Messages in the order of time, page by page; of an event the customer's newest message before it."""
    query = (
        select(*COLUMNS)
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
    )
    if event == MESSAGE:
        ordered = query.where(*_theirs(since)).order_by(col(Message.sent_at), col(Message.id)).limit(BATCH)
        rows = (await session.execute(ordered)).all()
        while rows:
            yield rows
            last = rows[-1]
            after = or_(
                col(Message.sent_at) > last.sent_at,
                and_(col(Message.sent_at) == last.sent_at, col(Message.id) > last.id),
            )
            rows = (await session.execute(ordered.where(after))).all()
        return
    number = 0
    newest = (
        select(func.max(col(Message.id)))
        .where(
            col(Message.conversation_id) == col(ConversationEvent.conversation_id),
            col(Message.direction) == Direction.IN.value,
            col(Message.received_at) <= col(ConversationEvent.at),
        )
        .correlate(ConversationEvent)
        .scalar_subquery()
    )
    while True:
        events = (
            select(col(ConversationEvent.id), newest)
            .where(
                col(ConversationEvent.kind) == event,
                col(ConversationEvent.at) >= since,
                col(ConversationEvent.id) > number,
            )
            .order_by(col(ConversationEvent.id))
            .limit(BATCH)
        )
        found = (await session.execute(events)).all()
        if not found:
            return
        number = found[-1][0]
        yield (await session.execute(query.where(col(Message.id).in_([row[1] for row in found])))).all()


async def _setting(session: AsyncSession, line: Line, rules: Sequence[Ready]) -> _Setting:
    teams = (await session.execute(select(Team))).scalars().all()
    needs = frozenset().union(*(conditions.needs(rule.body.when) for rule in rules))
    setting = _Setting(
        {c.id or 0: c for c in (await session.execute(select(Channel))).scalars()},
        {team.id or 0: team.key for team in teams},
        {a.id or 0: a.email for a in (await session.execute(select(Agent))).scalars()},
        ZoneInfo(line.settings.engagement.time_zone),
        needs,
    )
    if "calendar" in needs:
        for team in (None, *setting.teams):
            setting.calendars[team] = await calendar_for(session, line, team)
    return setting


async def _take(
    session: AsyncSession,
    line: Line,
    rules: Sequence[Ready],
    found: Comparison,
    setting: _Setting,
    rows: Sequence[Row[Any]],
) -> None:
    contacts, history = await _people(session, setting, rows)
    hits: list[tuple[int, Row[Any]]] = []
    for row in rows:
        facts = _facts(setting, row, contacts, history)
        for place, rule in enumerate(rules):
            found.trials[place].read += 1
            if rule.test.holds(facts):
                hits.append((place, row))
    said = await _said(session, {row.conversation_id for _, row in hits})
    window = timedelta(hours=line.settings.engagement.auto_answer_window_hours)
    for place, row in hits:
        body = rules[place].body
        replies = any(isinstance(action, Reply | ReplyInPrivate) for action in body.then)
        found.trials[place].take(_past(setting, row), said.get(row.conversation_id, ()), replies, window)


async def _people(
    session: AsyncSession, setting: _Setting, rows: Sequence[Row[Any]]
) -> tuple[dict[int, Any], dict[int, list[int]]]:
    """Who wrote, and the numbers of their conversations, where some condition asks."""
    numbers = {row.contact_id for row in rows}
    query = select(col(Contact.id), col(Contact.language), col(Contact.is_bot), col(Contact.tier))
    contacts = {row.id: row for row in (await session.execute(query.where(col(Contact.id).in_(numbers)))).all()}
    history: dict[int, list[int]] = {}
    if "history" in setting.needs:
        theirs = select(col(Conversation.contact_id), col(Conversation.id)).where(
            col(Conversation.contact_id).in_(numbers)
        )
        for contact, conversation in (await session.execute(theirs)).all():
            history.setdefault(contact, []).append(conversation or 0)
    return contacts, history


def _facts(
    setting: _Setting, row: Row[Any], contacts: Mapping[int, Any], history: Mapping[int, Sequence[int]]
) -> Facts:
    channel, contact = setting.channels[row.channel_id], contacts[row.contact_id]
    unsure = row.unsure
    earlier = history.get(row.contact_id, ())
    calendar = setting.calendars.get(row.team_id) or setting.calendars.get(None)
    return Facts(
        text=row.text,
        language=row.language,
        sentiment=row.sentiment,
        is_complaint=row.is_complaint and "complaint" not in unsure,
        intent=row.intent,
        is_sure=not unsure or not {"sentiment", "complaint"} & set(unsure),
        connector=channel.connector,
        channel_key=channel.key,
        kind=row.kind,
        local_time=row.sent_at.astimezone(setting.zone),
        reason=(row.reason or "") if row.is_complaint else "",
        language_score=row.language_score,
        sentiment_score=row.sentiment_score,
        complaint_score=row.complaint_score,
        intent_score=row.intent_score,
        media=tuple(str(entry.get("kind", "document")) for entry in row.attachments),
        is_bot=contact.is_bot,
        contact_language=contact.language,
        tier=contact.tier,
        earlier_count=sum(number < row.conversation_id for number in earlier),
        age_hours=max((row.sent_at - row.opened_at).total_seconds() / 3600, 0.0),
        message_count=row.message_count,
        labels=tuple(row.labels),
        team=setting.teams.get(row.team_id, ""),
        agent=setting.agents.get(row.agent_id, ""),
        priority=row.priority,
        handler="bot",
        is_open=calendar.is_open(row.sent_at) if calendar else None,
        is_holiday=bool(calendar and calendar.day_off(row.sent_at.astimezone(calendar.zone).date())),
    )


def _past(setting: _Setting, row: Row[Any]) -> Past:
    is_sure = not {"sentiment", "complaint"} & set(row.unsure)
    return Past(
        row.id,
        row.conversation_id,
        row.contact_id,
        row.text,
        row.sent_at,
        row.sent_at.astimezone(setting.zone).date(),
        row.language,
        setting.channels[row.channel_id].name,
        is_sure and (row.sentiment == "negative" or row.is_complaint),
        setting.teams.get(row.team_id, ""),
    )


async def _said(session: AsyncSession, conversations: set[int]) -> dict[int, list[Answer]]:
    """What these conversations were told, oldest first."""
    said: dict[int, list[Answer]] = {}
    numbers = sorted(conversations)
    for start in range(0, len(numbers), BATCH):
        query = (
            select(col(Message.conversation_id), col(Message.sent_at), col(Message.author_kind), col(Message.text))
            .where(
                col(Message.conversation_id).in_(numbers[start : start + BATCH]),
                col(Message.direction) == Direction.OUT.value,
            )
            .order_by(col(Message.id))
        )
        for number, at, author, text in (await session.execute(query)).all():
            by_agent = author in (AuthorKind.AGENT.value, AuthorKind.SELF.value)
            said.setdefault(number, []).append(Answer(at, by_agent, text if by_agent else ""))
    return said
