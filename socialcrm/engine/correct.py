"""Correct: what a person says of a message takes the place of its analysis; the prediction is kept beside it.

What triage decided stays as it is: a case, a team and an answer are not made or unmade by a correction.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.teaching import (
    LABELS,
    Correction,
    Source,
    label_of,
    newest,
    questions,
    score_of,
    set_label,
)
from socialcrm.engine.line import Line


class CannotCorrect(Exception):
    """Why not, in a sentence."""


async def correct(
    session: AsyncSession, line: Line, message: Message, labels: Mapping[str, str], agent: Agent, source: Source
) -> None:
    """Keep what `agent` says of the fields in `labels`, a reason only of a complaint; raises CannotCorrect."""
    for field, label in labels.items():
        if label not in LABELS.get(field, ()):
            raise CannotCorrect("There is no such label: choose one of those that are offered.")
    conversation, analysis, rows = await _open(session, message)
    for field, label in labels.items():
        _keep(session, analysis, rows, field, label, agent, source, line.now())
    if not analysis.is_complaint:
        await _forget(session, analysis, rows, ["reason"], source)
    await _show(session, line, conversation, message, analysis)


async def confirm(session: AsyncSession, line: Line, message: Message, agent: Agent) -> None:
    """Keep that `agent` agrees with everything that is shown of a message; raises CannotCorrect."""
    conversation, analysis, rows = await _open(session, message)
    known = newest(rows)
    for field in questions({"complaint": label_of(analysis, "complaint")}):
        label = label_of(analysis, field)
        if field not in known and label is not None:
            _keep(session, analysis, rows, field, label, agent, Source.INBOX, line.now())
    await _show(session, line, conversation, message, analysis)


async def undo(
    session: AsyncSession, line: Line, message: Message, source: Source, fields: tuple[str, ...] = tuple(LABELS)
) -> None:
    """Take back what was said of some fields of a message: the prediction, or what the other source says, is shown
    again; raises CannotCorrect."""
    conversation, analysis, rows = await _open(session, message)
    await _forget(session, analysis, rows, fields, source)
    await _show(session, line, conversation, message, analysis)


async def _open(session: AsyncSession, message: Message) -> tuple[Conversation, Analysis, list[Correction]]:
    """The message's conversation, locked, its analysis and its corrections."""
    query = select(Conversation).where(col(Conversation.id) == message.conversation_id)
    conversation = (await session.execute(query.with_for_update(key_share=True))).scalar_one()
    analysis = await session.get(Analysis, message.id)
    if analysis is None:
        raise CannotCorrect("This message has not been read yet: try again in a moment.")
    rows = (await session.execute(select(Correction).where(col(Correction.message_id) == message.id))).scalars()
    return conversation, analysis, list(rows)


def _keep(
    session: AsyncSession,
    analysis: Analysis,
    rows: list[Correction],
    field: str,
    label: str,
    agent: Agent,
    source: Source,
    now: datetime,
) -> None:
    row = next((row for row in rows if row.field == field and row.source == source), None)
    if row is None:
        first = next((row for row in rows if row.field == field), None)  # of the other source
        row = Correction(
            message_id=analysis.message_id,
            field=field,
            label=label,
            predicted=first.predicted if first else label_of(analysis, field) or "",
            score=score_of(analysis, field),
            model=analysis.model,
            was_unsure=first.was_unsure if first else field in analysis.unsure,
            agent_id=agent.id or 0,
            source=source.value,
            made_at=now,
        )
        session.add(row)
        rows.append(row)
    row.label, row.agent_id, row.made_at = label, agent.id or 0, now
    set_label(analysis, field, label)
    analysis.unsure = [name for name in analysis.unsure if name != field]


async def _forget(
    session: AsyncSession, analysis: Analysis, rows: list[Correction], fields: Collection[str], source: Source
) -> None:
    for row in [row for row in rows if row.field in fields and row.source == source]:
        rows.remove(row)
        if row in session.new:
            session.expunge(row)
        else:
            await session.delete(row)
        other = newest(rows).get(row.field)
        set_label(analysis, row.field, other.label if other else row.predicted or None)
        if other is None and row.was_unsure:
            analysis.unsure = [field for field in LABELS if field in (*analysis.unsure, row.field)]


async def _show(
    session: AsyncSession, line: Line, conversation: Conversation, message: Message, analysis: Analysis
) -> None:
    """Let the conversation's line in the queue say the same, and every open page."""
    await session.flush()
    read = select(col(Message.id)).join(Analysis, col(Analysis.message_id) == col(Message.id))
    of_it = read.where(col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN.value)
    last = await session.scalar(of_it.order_by(col(Message.id).desc()).limit(1))
    if last == message.id:
        conversation.sentiment, conversation.language = analysis.sentiment, analysis.language
    conversation.is_complaint = bool(await session.scalar(select(exists(of_it.where(col(Analysis.is_complaint))))))
    await line.live.publish(session, "conversation", [conversation.id or 0], line.now())
