"""Triage: analysed messages -> team, agent, priority, labels, case, maybe an answer; and why."""

import logging
from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.columns import constant
from socialcrm.domain.conversation import Conversation, ConversationStatus, EventKind, Handler
from socialcrm.domain.message import Analysis, Message, RuleTrace, Step
from socialcrm.domain.rulebook import MESSAGE
from socialcrm.domain.triage import Decision, Facts, decide
from socialcrm.engine import known, rulebook
from socialcrm.engine.carry_out import Batch, Occasion, Subject, carry_out, open_batch
from socialcrm.engine.casebook import CaseBook
from socialcrm.engine.known import READ, Analysed
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
NEEDS_PEOPLE = ("complaint", "question", "request", "leaving")

WAITING = select(col(Message.conversation_id)).where(col(Message.step) == constant(Step.TRIAGE))


async def triage(line: Line) -> int:
    """Take one batch of conversations; when one of them breaks it, they are taken one by one."""
    if not await line.database.has(WAITING):
        return 0
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
    waiting = WAITING.order_by(col(Message.id)).limit(limit).subquery()
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
    book = await rulebook.load(session, line)
    batch = await open_batch(session, line, conversations)
    extra = await known.read(session, line, batch, conversations, book.needs.get(MESSAGE, frozenset()))
    limits = await known.Limits.load(session, batch, conversations, book.of(MESSAGE))
    for message in rows:
        await _one(session, batch, found[message.conversation_id], message, book, extra, limits)
    done = update(Message).where(col(Message.id).in_([m.id for m in rows]))
    await session.execute(done.values(step=Step.DONE.value, processed_at=batch.now))
    await rulebook.silence_broken(session, book, [m.conversation_id for m in rows])
    await _write(session, batch)
    await line.live.publish(session, "conversation", (m.conversation_id for m in rows), batch.now)
    return len(rows)


async def _write(session: AsyncSession, batch: Batch) -> None:
    """Everything that the decisions of a batch added."""
    await batch.write(session)
    traced = [row["message_id"] for row in batch.traces]
    await session.execute(delete(RuleTrace).where(col(RuleTrace.message_id).in_(traced)))  # of edited messages
    await insert_rows(session, RuleTrace, batch.traces)


async def _one(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    message: Analysed,
    book: rulebook.Book,
    extra: known.Known,
    limits: known.Limits,
) -> None:
    """Decide about one message, then do it."""
    line, contact = batch.line, batch.contacts[conversation.contact_id]
    is_first_time = message.processed_at is None  # an edit is understood anew, but answered only once
    facts = _facts(batch, conversation, message, extra)
    decision = decide(facts, line.engagement, book.of(MESSAGE), lambda rule: limits.blocked(rule, conversation))
    if "language" not in message.unsure and message.language != "other":
        contact.language = message.language
    conversation.sentiment, conversation.language = message.sentiment, message.language
    conversation.is_complaint = conversation.is_complaint or message.is_complaint
    if conversation.status == ConversationStatus.RESOLVED and not is_first_time:
        decision.note("edit", True, "it was triaged before", "left resolved")
    elif message.question_id is not None and conversation.status != ConversationStatus.RESOLVED:
        decision.note("answer", True, "it answers a question of ours", "left to who asked")
    elif conversation.status == ConversationStatus.RESOLVED and not _reopen(batch, conversation, message):
        decision.note("survey comment", True, "it follows a score and asks for nothing", "left resolved")
    elif is_first_time:
        limits.count(decision.fired, conversation)
        subject = Subject(
            message.id,
            message.contact_id,
            message.external_id,
            message.kind,
            message.text,
            message.is_late,
            message.is_found,
        )
        await carry_out(session, batch, conversation, subject, decision, Occasion(MESSAGE, f"message:{message.id}"))
        batch.cases.hears(conversation, message.contact_id, message.text, is_complaint=facts.is_complaint)
    batch.traces.append(_trace(batch, message, decision))


def _facts(batch: Batch, conversation: Conversation, message: Analysed, extra: known.Known) -> Facts:
    facts = known.of_conversation(batch, conversation, extra)
    return known.with_message(facts, message)


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
    batch = Batch(line, line.now(), {}, {}, {}, CaseBook(line, line.now()))
    for message in messages:
        decision = Decision()
        decision.note("triage", False, "internal error: see the log", "left to people")
        batch.traces.append(_trace(batch, message, decision))
        message.step, message.processed_at = Step.DONE, batch.now
    await _write(session, batch)
    return len(messages)
