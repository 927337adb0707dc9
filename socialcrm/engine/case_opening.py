"""Case opening: a complaint becomes a case, with a reference, a severity, a department and a due time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.calendar import Calendar
from socialcrm.domain.case import Case, CaseConversation, CaseEvent, CaseStep, Origin, Severity, reference_of
from socialcrm.domain.casework import CannotMove, Signs, severity_of
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.phrases import word_set
from socialcrm.engine import case_time, tell
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.case_file import changed, key_of, note, open_case_of
from socialcrm.engine.line import Line
from socialcrm.engine.tell import Told

EARLIER = timedelta(days=30)
"""How far back complaints of the same person make a new one more severe."""


@dataclass(frozen=True)
class Opening:
    """A case that is about to be opened, with what decides how severe it is."""

    case: Case
    conversation: Conversation
    words: frozenset[str] = frozenset()
    intent: str = ""
    severity: str = ""
    """Where somebody chose it."""
    by: Agent | None = None
    data: dict[str, object] = field(default_factory=dict)


def draft(conversation: Conversation, message_id: int, contact_id: int, now: datetime, **values: Any) -> Case:
    """A case that is not written yet; its reference is known already."""
    return Case(
        reference=reference_of(message_id),
        conversation_id=conversation.id or 0,
        contact_id=contact_id,
        message_id=message_id,
        opened_at=now,
        due_at=now,
        promised_at=now,
        **values,
    )


async def open_all(session: AsyncSession, line: Line, openings: Sequence[Opening]) -> None:
    """Write new cases with their severity, department and due time, and the first step of each."""
    if not openings:
        return
    now = line.now()
    people = {opening.case.contact_id for opening in openings}
    query = (
        select(col(Case.contact_id), func.count())
        .where(col(Case.contact_id).in_(people), col(Case.opened_at) >= now - EARLIER)
        .group_by(col(Case.contact_id))
    )
    earlier = {contact: count for contact, count in (await session.execute(query)).all()}
    because = []
    calendars: dict[int | None, Calendar] = {}
    critical = tuple(line.settings.cases.critical_words)
    for opening in openings:
        case, conversation = opening.case, opening.conversation
        count = earlier.get(case.contact_id, 0)
        earlier[case.contact_id] = count + 1
        found, why = severity_of(Signs(opening.words, opening.intent, conversation.priority, count), critical)
        case.severity = Severity(opening.severity) if opening.severity else found
        because.append("" if opening.severity else why)
        case.team_id, case.agent_id = conversation.team_id, conversation.agent_id
        if case.team_id not in calendars:
            calendars[case.team_id] = await calendar_for(session, line, case.team_id)
        case_time.promise(line, calendars[case.team_id], case)
        session.add(case)
    await session.flush()
    linked = [{"case_id": o.case.id, "conversation_id": o.case.conversation_id, "linked_at": now} for o in openings]
    await insert_rows(session, CaseConversation, linked)
    steps = [
        {
            "case_id": o.case.id,
            "at": now,
            "kind": CaseStep.OPENED.value,
            "agent_id": o.by.id if o.by else None,
            "data": {"severity": o.case.severity, "because": why, "due_at": o.case.due_at.isoformat(), **o.data},
        }
        for o, why in zip(openings, because, strict=True)
    ]
    await insert_rows(session, CaseEvent, steps)


async def open_case(
    session: AsyncSession,
    line: Line,
    conversation: Conversation,
    message: Message | None = None,
    *,
    origin: Origin,
    by: Agent | None = None,
    severity: str = "",
    reason: str | None = None,
    tells: bool = True,
) -> Case:
    """Open a case for a message of a conversation, by default its newest incoming one, and tell the customer its
    reference; for agents' buttons, rules and the portal. The conversation is locked. Where a case is open already, that
    one comes back. Raises CannotMove."""
    known = await open_case_of(session, conversation)
    if known is not None:
        return known
    message = message or await _newest(session, conversation)
    if message is None:
        raise CannotMove("There is no message of the customer that a complaint could be opened for.")
    if (await session.execute(select(col(Case.id)).where(col(Case.message_id) == message.id))).first():
        raise CannotMove("There was a complaint for this message already: reopen it.")
    analysis = await session.get(Analysis, message.id)
    said = (analysis.reason or "") if analysis and analysis.is_complaint else ""
    case = draft(
        conversation,
        message.id or 0,
        message.contact_id,
        line.now(),
        origin=origin.value,
        reason=said if reason is None else reason,
    )
    intent = analysis.intent if analysis else ""
    await open_all(session, line, [Opening(case, conversation, word_set(message.text), intent, severity, by)])
    if by is not None and case.agent_id is None:
        case.agent_id = by.id
    conversation.is_complaint = True
    session.add(
        ConversationEvent(
            conversation_id=conversation.id or 0,
            at=line.now(),
            kind=EventKind.CASE_OPENED,
            agent_id=by.id if by else None,
            data={"reference": case.reference},
        )
    )
    if tells:
        await acknowledge(session, line, case, by)
    await changed(session, line, case)
    return case


async def acknowledge(session: AsyncSession, line: Line, case: Case, by: Agent | None = None) -> None:
    """Tell the customer that the complaint is registered, and its reference."""
    if case.acknowledged_at is not None:
        return
    text = tell.in_words(line, await tell.language_of(session, line, case), "acknowledgement", case)
    place = await tell.place_of(session, line, case)
    if place == "public":  # where it can only be public, the reference alone is no secret
        place = await tell.comment_place(session, line, await session.get_one(Conversation, case.conversation_id))
    told = (
        Told(untold=place)
        if isinstance(place, str)
        else await tell.say(session, line, place, text, key_of(case, "ack"))
    )
    if told.message:
        case.acknowledged_at = line.now()
    note(session, line, case, CaseStep.ACKNOWLEDGED, by, told)


async def _newest(session: AsyncSession, conversation: Conversation) -> Message | None:
    query = (
        select(Message)
        .where(
            col(Message.conversation_id) == conversation.id,
            col(Message.direction) == Direction.IN.value,
            col(Message.deleted_at).is_(None),
        )
        .order_by(col(Message.id).desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()
