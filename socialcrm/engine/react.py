"""React: what happened to conversations -> the rules that wait for it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.columns import constant
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind
from socialcrm.domain.facts import Facts
from socialcrm.domain.message import Analysis, Direction, Message, Step
from socialcrm.domain.triage import Decision, Ready, try_rules
from socialcrm.engine import known, rulebook
from socialcrm.engine.carry_out import Batch, Occasion, Subject, carry_out, open_batch
from socialcrm.engine.known import Analysed
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
DEEPEST = 3
"""So many rules may start each other in a row; then it ends, whatever they say."""
READ = tuple(Analysed.__dataclass_fields__)


async def react(line: Line) -> int:
    """Take one batch of events; when one of them breaks it, they are taken one by one."""
    if not await line.database.has(select(col(ConversationEvent.id)).where(col(ConversationEvent.is_new))):
        return 0
    try:
        return await _react(line, singly=False)
    except Exception:
        log.exception("a batch of events could not be followed; taking them one by one")
        return await _react(line, singly=True)


async def _react(line: Line, *, singly: bool) -> int:
    async with line.database.write() as session:
        events = await _claim(session, line.settings.line.batch)
        if not events:
            return 0
        book = await rulebook.load(session, line)
        wanted = [event for event in events if _is_wanted(book, event)]
        for group in [[event] for event in wanted] if singly else [wanted]:
            try:
                async with line.database.savepoint(session):
                    await _follow(session, line, book, group)
            except Exception:
                if not singly:
                    raise
                log.exception("event %s could not be followed", group[0].id)
    if wanted:
        line.live.ring()
    return len(events)


async def _claim(session: AsyncSession, limit: int) -> Sequence[ConversationEvent]:
    """Events that no rule has looked at; they count as looked at when this commits. By a mark on the row and not by the
    newest number seen: numbers are given before they are committed, and a late one would be missed."""
    unread = exists().where(
        col(Message.conversation_id) == col(ConversationEvent.conversation_id),
        col(Message.step) != constant(Step.DONE),  # what was written is understood first
    )
    query = (
        select(ConversationEvent)
        .where(col(ConversationEvent.is_new), ~unread)
        .order_by(col(ConversationEvent.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    events = (await session.execute(query)).scalars().all()
    if events:
        numbers = [event.id for event in events]
        mark = update(ConversationEvent).where(col(ConversationEvent.id).in_(numbers)).values(is_new=False)
        await session.execute(mark, execution_options={"synchronize_session": False})
    return events


def _is_wanted(book: rulebook.Book, event: ConversationEvent) -> bool:
    return any(event.at >= book.since[rule.id] for rule in book.of(event.kind))


async def _follow(session: AsyncSession, line: Line, book: rulebook.Book, events: Sequence[ConversationEvent]) -> None:
    if not events:
        return
    found = await locked(session, [event.conversation_id for event in events])
    conversations = list(found.values())
    batch = await open_batch(session, line, conversations)
    needs = frozenset().union(*(book.needs.get(event.kind, frozenset()) for event in events))
    extra = await known.read(session, line, batch, conversations, needs)
    rules = {rule.id: rule for event in events for rule in book.of(event.kind)}
    limits = await known.Limits.load(session, batch, conversations, rules.values())
    newest = await newest_messages(session, conversations)
    for event in events:
        conversation = found[event.conversation_id]
        data = event.data or {}
        depth = int(data.get("depth", 0))
        occasion = Occasion(event.kind, f"event:{event.id}", depth)
        live = [rule for rule in book.of(event.kind) if event.at >= book.since[rule.id]]
        if depth >= DEEPEST:
            decision = Decision()
            decision.note("rules", False, f"{DEEPEST} rules started each other: stopped here")
        else:
            facts = facts_of(batch, conversation, extra, newest)
            facts.survey_score = data.get("score")
            decision = await follow(session, batch, conversation, facts, live, limits, newest, occasion)
        batch.runs.append(run(batch, conversation, occasion, decision, event.id))
    await batch.write(session)
    await line.live.publish(session, "conversation", found, batch.now)


async def follow(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    facts: Facts,
    rules: Sequence[Ready],
    limits: known.Limits,
    newest: Mapping[int, tuple[Subject, Any]],
    occasion: Occasion,
) -> Decision:
    """Try rules on a conversation and do what they say."""
    decision = Decision()
    try_rules(decision, facts, rules, lambda rule: limits.blocked(rule, conversation))
    limits.count(decision.fired, conversation)
    subject = newest.get(conversation.id or 0, (None, None))[0]
    await carry_out(session, batch, conversation, subject, decision, occasion)
    return decision


def facts_of(
    batch: Batch, conversation: Conversation, extra: known.Known, newest: Mapping[int, tuple[Subject, Any]]
) -> Facts:
    """The facts of a conversation with the customer's newest message."""
    facts = known.of_conversation(batch, conversation, extra)
    understood = newest.get(conversation.id or 0, (None, None))[1]
    return known.with_message(facts, understood) if understood is not None else facts


def run(
    batch: Batch, conversation: Conversation, occasion: Occasion, decision: Decision, event_id: int | None = None
) -> dict[str, object]:
    """The row that says what rules did, and why; the thread gets a line of each that fired."""
    for entry in decision.lines:
        if entry["fired"]:
            batch.event(conversation, EventKind.RULED, rule=entry["rule"], did=entry["did"])
    return {
        "conversation_id": conversation.id,
        "event": occasion.event,
        "event_id": event_id,
        "at": batch.now,
        "lines": decision.lines,
    }


async def locked(session: AsyncSession, numbers: Sequence[int]) -> dict[int, Conversation]:
    """Conversations that nobody else changes meanwhile, in the order in which everybody locks them."""
    query = (
        select(Conversation)
        .where(col(Conversation.id).in_(set(numbers)))
        .order_by(col(Conversation.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {c.id or 0: c for c in (await session.execute(query)).scalars()}


async def newest_messages(
    session: AsyncSession, conversations: Sequence[Conversation]
) -> dict[int, tuple[Subject, Any]]:
    """Conversation -> the customer's newest message, and what was understood of it, if it was."""
    newest = (
        select(func.max(col(Message.id)))
        .where(
            col(Message.conversation_id).in_([c.id for c in conversations]),
            col(Message.direction) == Direction.IN.value,
        )
        .group_by(col(Message.conversation_id))
    )
    query = (
        select(Message, Analysis)
        .outerjoin(Analysis, col(Analysis.message_id) == col(Message.id))
        .where(col(Message.id).in_(newest))
    )
    found: dict[int, tuple[Subject, Any]] = {}
    for message, analysis in (await session.execute(query)).all():
        subject = Subject(
            message.id or 0,
            message.contact_id,
            message.external_id,
            message.kind,
            message.text,
            message.is_late,
            message.is_found,
        )
        understood = None
        if analysis is not None:
            understood = Analysed(*(getattr(message if hasattr(message, name) else analysis, name) for name in READ))
        found[message.conversation_id] = (subject, understood)
    return found
