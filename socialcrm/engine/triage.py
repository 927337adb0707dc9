"""Triage: analysed messages -> team, agent, priority, labels, case, maybe an answer; and why."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from nlp.entities import mask
from socialcrm.database import insert_rows
from socialcrm.domain.case import Case, reference_of
from socialcrm.domain.channel import Channel
from socialcrm.domain.columns import constant
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import (
    Conversation,
    ConversationEvent,
    ConversationStatus,
    EventKind,
    Handler,
    Priority,
)
from socialcrm.domain.engagement import reply_language, word_set
from socialcrm.domain.message import Analysis, AuthorKind, Message, RuleTrace, Step
from socialcrm.domain.people import Team
from socialcrm.domain.triage import Decision, Facts, decide, higher
from socialcrm.engine.answer import Draft, send_all
from socialcrm.engine.assign import Roster
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
NEEDS_PEOPLE = ("complaint", "question", "request", "leaving")


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
    Analysis.language,
    Analysis.sentiment,
    Analysis.is_complaint,
    Analysis.intent,
    Analysis.unsure,
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
    language: str
    sentiment: str
    is_complaint: bool
    intent: str
    unsure: list[str]


@dataclass
class Batch:
    """What the messages of one batch have in common: read once."""

    line: Line
    now: datetime
    teams: dict[str, int]
    channels: dict[int, Channel]
    contacts: dict[int, Contact]
    cases: dict[int, Case]
    """The open case of a conversation, if any."""
    roster: Roster | None = None
    drafts: list[Draft] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)
    traces: list[dict[str, object]] = field(default_factory=list)

    def event(self, conversation: Conversation, kind: EventKind, **data: object) -> None:
        """Note that something happened to a conversation."""
        self.events.append({"conversation_id": conversation.id, "at": self.now, "kind": kind.value, "data": data})


async def triage(line: Line) -> int:
    """Take one batch of conversations; when one of them breaks it, they are taken one by one."""
    try:
        return await _triage(line, line.settings.line.batch)
    except Exception:
        log.exception("a batch could not be triaged; taking conversations one by one")
        return await _triage_singly(line)


async def _triage(line: Line, limit: int) -> int:
    async with line.database.write() as session:
        conversations = await _claim(session, limit)
        done = await _take(session, line, conversations)
    if done:
        line.live.ring()
    return done


async def _triage_singly(line: Line) -> int:
    done = 0
    async with line.database.write() as session:
        for conversation in await _claim(session, line.settings.line.batch):
            number = conversation.id or 0
            try:
                async with line.database.savepoint(session):
                    done += await _take(session, line, [await session.get_one(Conversation, number)])
            except Exception:
                log.exception("conversation %s could not be triaged: left to people", number)
                done += await _give_up(session, line, number)
    line.live.ring()
    return done


async def _claim(session: AsyncSession, limit: int) -> Sequence[Conversation]:
    """Conversations with analysed messages, locked, in the order in which their messages came."""
    waiting = (
        select(col(Message.conversation_id))
        .where(col(Message.step) == constant(Step.TRIAGE))
        .order_by(col(Message.id))
        .limit(limit)
        .subquery()
    )
    query = (
        select(Conversation)
        .where(col(Conversation.id).in_(select(waiting)))
        .order_by(col(Conversation.id))
        .with_for_update(skip_locked=True, key_share=True)
    )
    return (await session.execute(query)).scalars().all()


async def _take(session: AsyncSession, line: Line, conversations: Sequence[Conversation]) -> int:
    found = {c.id: c for c in conversations}
    if not found:
        return 0
    query = (
        select(*(col(column) for column in READ))  # columns, not rows: half of the time of a batch would go there
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .where(col(Message.conversation_id).in_(found), col(Message.step) == constant(Step.TRIAGE))
        .order_by(col(Message.id))
        .with_for_update(of=Message, key_share=True)
    )
    rows = [Analysed(**row._mapping) for row in (await session.execute(query)).all()]
    batch = await _batch(session, line, conversations)
    for message in rows:
        await _one(session, batch, found[message.conversation_id], message)
    done = update(Message).where(col(Message.id).in_([m.id for m in rows]))
    await session.execute(done.values(step=Step.DONE.value, processed_at=batch.now))
    await _write(session, batch)
    await line.live.publish(session, "conversation", (m.conversation_id for m in rows), batch.now)
    return len(rows)


async def _write(session: AsyncSession, batch: Batch) -> None:
    """Everything that the decisions of a batch added."""
    await send_all(session, batch.drafts, batch.now)
    await insert_rows(session, ConversationEvent, batch.events)
    traced = [row["message_id"] for row in batch.traces]
    await session.execute(delete(RuleTrace).where(col(RuleTrace.message_id).in_(traced)))  # of edited messages
    await insert_rows(session, RuleTrace, batch.traces)


async def _batch(session: AsyncSession, line: Line, conversations: Sequence[Conversation]) -> Batch:
    numbers = [c.id for c in conversations]
    # Locked, so that two processes with a conversation of one person each do not both answer them.
    contacts = (
        select(Contact)
        .where(col(Contact.id).in_({c.contact_id for c in conversations}))
        .order_by(col(Contact.id))
        .with_for_update(key_share=True)
    )
    channels = select(Channel).where(col(Channel.id).in_({c.channel_id for c in conversations}))
    cases = select(Case).where(col(Case.conversation_id).in_(numbers), col(Case.status) == "open")
    return Batch(
        line,
        line.now(),
        {t.key: t.id for t in (await session.execute(select(Team))).scalars() if t.id is not None},
        {c.id: c for c in (await session.execute(channels)).scalars() if c.id is not None},
        {c.id: c for c in (await session.execute(contacts)).scalars() if c.id is not None},
        {c.conversation_id: c for c in (await session.execute(cases)).scalars()},
    )


async def _one(session: AsyncSession, batch: Batch, conversation: Conversation, message: Analysed) -> None:
    """Decide about one message, then do it."""
    line, contact = batch.line, batch.contacts[conversation.contact_id]
    is_first_time = message.processed_at is None  # an edit is understood anew, but answered only once
    words = word_set(message.text)
    decision = decide(_facts(batch, conversation, message, words), line.engagement)
    if "language" not in message.unsure and message.language != "other":
        contact.language = message.language
    conversation.sentiment, conversation.language = message.sentiment, message.language
    conversation.is_complaint = conversation.is_complaint or message.is_complaint
    if conversation.status == ConversationStatus.RESOLVED and not is_first_time:
        decision.note("edit", True, "it was triaged before", "left resolved")
    elif conversation.status == ConversationStatus.RESOLVED and not _reopen(batch, conversation, message):
        decision.note("survey comment", True, "it follows a score and asks for nothing", "left resolved")
    elif is_first_time:
        is_with_person = conversation.handler == Handler.HUMAN
        is_new_case = decision.opens_case and conversation.id not in batch.cases  # always acknowledged
        _apply(session, batch, conversation, message, decision)
        if is_with_person and not is_new_case and (decision.reply or decision.answer):
            decision.note("automatic answer", False, "a person is looking after this conversation")
        else:
            _answer(batch, conversation, message, decision, contact)
        await _assign(session, batch, conversation, decision)
    batch.traces.append(_trace(batch, message, decision))


def _facts(batch: Batch, conversation: Conversation, message: Analysed, words: frozenset[str]) -> Facts:
    channel = batch.channels[conversation.channel_id]
    return Facts(
        text=message.text,
        language=message.language,
        sentiment=message.sentiment,
        is_complaint=message.is_complaint and "complaint" not in message.unsure,
        intent=message.intent,
        is_sure=not {"sentiment", "complaint"} & set(message.unsure),
        connector=channel.connector,
        channel_key=channel.key,
        kind=message.kind,
        local_time=batch.now.astimezone(ZoneInfo(batch.line.settings.engagement.time_zone)),
        words=words,
    )


def _reopen(batch: Batch, conversation: Conversation, message: Analysed) -> bool:
    """A comment after a survey brings the conversation back only when it asks for something."""
    if not message.is_complaint and message.intent not in NEEDS_PEOPLE:
        return False
    conversation.status, conversation.resolved_at = ConversationStatus.OPEN, None
    conversation.handler = Handler.HUMAN
    conversation.unread_count += 1
    conversation.waiting_since_at = batch.now
    batch.event(conversation, EventKind.REOPENED)
    return True


def _apply(
    session: AsyncSession, batch: Batch, conversation: Conversation, message: Analysed, decision: Decision
) -> None:
    """Team, priority, labels, case, hand-over."""
    if decision.team in batch.teams and conversation.team_id is None:
        conversation.team_id = batch.teams[decision.team]
    elif decision.team and decision.team not in batch.teams:
        decision.note("teams", False, f"there is no team called {decision.team!r}")
    if decision.priority:
        is_raised = conversation.priority != Priority.NORMAL
        conversation.priority = higher(conversation.priority, decision.priority) if is_raised else decision.priority
    if new := [label for label in decision.labels if label not in conversation.labels]:
        conversation.labels = [*conversation.labels, *new]
    if decision.opens_case and conversation.id not in batch.cases:
        case = Case(
            reference=reference_of(message.id),
            conversation_id=message.conversation_id,
            contact_id=message.contact_id,
            message_id=message.id,
            opened_at=batch.now,
        )
        batch.cases[message.conversation_id] = case
        session.add(case)
        batch.event(conversation, EventKind.CASE_OPENED, reference=case.reference)
    if decision.hands_over and conversation.handler == Handler.BOT:
        conversation.handler = Handler.HUMAN
        batch.event(conversation, EventKind.HANDED_OVER)


def _answer(batch: Batch, conversation: Conversation, message: Analysed, decision: Decision, contact: Contact) -> None:
    """One automatic answer to a person within the window, and none where somebody or something else is speaking."""
    if not decision.reply and not decision.answer:
        return
    engagement, settings = batch.line.engagement, batch.line.settings.engagement
    window = timedelta(hours=settings.auto_answer_window_hours)
    if contact.is_bot:
        decision.note("automatic answer", False, "the other side is a bot")
        return
    if message.is_found:
        decision.note("automatic answer", False, "a watched word found it: nobody wrote to us")
        return
    if message.is_late and message.kind != MessageKind.DIRECT_MESSAGE:
        decision.note("automatic answer", False, "it is public, and was written while we were away")
        return
    if contact.auto_answered_at and batch.now - contact.auto_answered_at < window:
        decision.note("automatic answer", False, f"this person had one within {settings.auto_answer_window_hours:g} h")
        return
    if decision.answer is not None and conversation.handler != Handler.BOT:
        decision.note("automatic answer", False, "a person is looking after this conversation")
        return
    language = reply_language(contact.language or conversation.language, settings.default_language)
    if decision.answer is not None:
        text = decision.answer.get(language) or next(iter(decision.answer.values()))
        author = AuthorKind.BOT
    else:
        case = batch.cases.get(message.conversation_id)
        if decision.reply == "acknowledgement" and case is None:
            decision.note("automatic answer", False, "an acknowledgement needs a case: add case = true to the rule")
            return
        text = engagement.reply(
            language,
            decision.reply,
            name=contact.name if conversation.kind == MessageKind.DIRECT_MESSAGE else mask(contact.name),
            company=batch.line.settings.company,
            reference=case.reference if case else "",
            team=decision.team,
            minutes="",
            url=batch.line.settings.public_url,
        )
        author = AuthorKind.RULE
    key = f"auto:{message.id}"
    batch.drafts.append(Draft(conversation, text, key, author, answers_id=message.id, reply_to=message.external_id))
    contact.auto_answered_at = batch.now


async def _assign(session: AsyncSession, batch: Batch, conversation: Conversation, decision: Decision) -> None:
    """Give an unassigned conversation to the next agent of its team who has room."""
    if conversation.agent_id is not None or conversation.status != ConversationStatus.OPEN or "spam" in decision.labels:
        return
    if batch.roster is None:
        batch.roster = await Roster.load(session, batch.line)
    agent = batch.roster.next(batch.line, conversation.team_id)
    if agent is None:
        decision.note("round-robin", False, "nobody of the team is here with room for one more")
        return
    conversation.agent_id = agent.id
    batch.event(conversation, EventKind.ASSIGNED, agent_id=agent.id)
    decision.note("round-robin", True, "present, with room, and given work longest ago", f"assigned to {agent.name}")


def _trace(batch: Batch, message: Analysed | Message, decision: Decision) -> dict[str, object]:
    return {
        "message_id": message.id,
        "conversation_id": message.conversation_id,
        "at": batch.now,
        "lines": decision.lines,
    }


async def _give_up(session: AsyncSession, line: Line, conversation_id: int) -> int:
    """Leave the messages of a conversation that breaks triage to people, with the reason in their trace."""
    query = select(Message).where(
        col(Message.conversation_id) == conversation_id, col(Message.step) == constant(Step.TRIAGE)
    )
    messages = (await session.execute(query)).scalars().all()
    batch = Batch(line, line.now(), {}, {}, {}, {})
    for message in messages:
        decision = Decision()
        decision.note("triage", False, "internal error: see the log", "left to people")
        batch.traces.append(_trace(batch, message, decision))
        message.step, message.processed_at = Step.DONE, batch.now
    await _write(session, batch)
    return len(messages)
