"""Move: a supervisor gives several conversations to an agent, a team or the queue, or ends them, and can undo it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Handler
from socialcrm.domain.message import AuthorKind, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.routing import BulkMove
from socialcrm.domain.survey import Resolution, ResolutionSurvey
from socialcrm.engine.assign import event
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import resolve

MOST = 500
UNDO = timedelta(minutes=15)
"""So long a move can be undone."""
KEPT = (
    "agent_id",
    "team_id",
    "status",
    "handler",
    "queued_at",
    "wanted_skill",
    "wanted_agent_id",
    "assigned_at",
    "avoided_agent_id",
    "waiting_since_at",
    "unread_count",
    "resolved_at",
)
"""What an undo puts back."""


class Deed(StrEnum):
    """What can be done to several at once."""

    AGENT = "agent"
    TEAM = "team"
    QUEUE = "queue"
    RESOLVE = "resolve"


async def move(
    session: AsyncSession, line: Line, ids: Sequence[int], deed: Deed, target_id: int | None, by: Agent
) -> BulkMove:
    """Do it to all that are not resolved; its row says which those were. Given to a team or the queue, routing finds
    somebody for them, and not who had them."""
    query = (
        select(Conversation)
        .where(col(Conversation.id).in_(ids[:MOST]), col(Conversation.status) != ConversationStatus.RESOLVED)
        .order_by(col(Conversation.id))
        .with_for_update(key_share=True)
    )
    before = {}
    found = (await session.execute(query)).scalars().all()
    for conversation in found:
        before[str(conversation.id)] = {name: _kept(getattr(conversation, name)) for name in KEPT}
        if deed is Deed.RESOLVE:
            await resolve(session, line, conversation, by)
        else:
            _give(session, line, conversation, deed, target_id, by)
    # The time after it all: what comes later, somebody else did.
    done = BulkMove(agent_id=by.id or 0, at=line.now(), deed=deed.value, before=before)
    session.add(done)
    await session.flush()
    await line.live.publish(session, "conversation", (c.id or 0 for c in found), done.at)
    return done


def _give(
    session: AsyncSession, line: Line, conversation: Conversation, deed: Deed, target_id: int | None, by: Agent
) -> None:
    had, now = conversation.agent_id, line.now()
    if deed is Deed.AGENT:
        conversation.agent_id, conversation.queued_at, conversation.assigned_at = target_id, None, now
        conversation.avoided_agent_id, conversation.handler = None, Handler.HUMAN
        session.add(event(conversation, line, by.id, target_id))
        return
    if deed is Deed.TEAM:
        conversation.team_id, conversation.wanted_agent_id = target_id, None
    conversation.agent_id, conversation.last_agent_id, conversation.avoided_agent_id = None, had, had
    conversation.queued_at, conversation.scored_at = now, None
    to = {"team_id": target_id} if deed is Deed.TEAM else {"to": "queue"}
    session.add(event(conversation, line, by.id, None, **to, **({"from": had} if had else {})))


async def undo(session: AsyncSession, line: Line, move_id: int, by: Agent) -> tuple[int, int] | None:
    """Put back what somebody moved; how many were put back, and how many were left because a person has worked on them
    since. None: there is nothing to undo, or no more."""
    done = await session.get(BulkMove, move_id, with_for_update=True)
    if done is None or done.agent_id != by.id or done.undone_at or line.now() - done.at > UNDO:
        return None
    done.undone_at = line.now()
    query = select(Conversation).where(col(Conversation.id).in_([int(number) for number in done.before]))
    found = (
        (await session.execute(query.order_by(col(Conversation.id)).with_for_update(key_share=True))).scalars().all()
    )
    touched = await _touched(session, found, done)
    back, numbers = 0, [c.id or 0 for c in found]
    for conversation, number in zip(found, numbers, strict=True):
        if number not in touched and await _put_back(session, line, conversation, number, done, by):
            back += 1
    await line.live.publish(session, "conversation", numbers, line.now())
    return back, len(done.before) - back


async def _put_back(
    session: AsyncSession, line: Line, conversation: Conversation, number: int, done: BulkMove, by: Agent
) -> bool:
    """False where the customer has a newer conversation in the same thread."""
    kept, resolved_at = done.before[str(number)], conversation.resolved_at
    try:
        async with line.database.savepoint(session):
            for name in KEPT:
                value = kept[name]
                setattr(conversation, name, datetime.fromisoformat(value) if name.endswith("_at") and value else value)
            conversation.scored_at = None
            if done.deed == Deed.RESOLVE:
                reopened = EventKind.REOPENED
                session.add(ConversationEvent(conversation_id=number, at=line.now(), kind=reopened, agent_id=by.id))
                due = (col(Resolution.resolved_at) == resolved_at, col(Resolution.survey) == ResolutionSurvey.DUE)
                await session.execute(delete(Resolution).where(col(Resolution.conversation_id) == number, *due))
            else:
                session.add(event(conversation, line, by.id, conversation.agent_id, undo=True))
            await session.flush()
    except IntegrityError:
        return False
    return True


async def _touched(session: AsyncSession, found: Sequence[Conversation], done: BulkMove) -> set[int]:
    """Those that a person has worked on since."""
    numbers = [c.id for c in found]
    events = select(col(ConversationEvent.conversation_id)).where(
        col(ConversationEvent.conversation_id).in_(numbers),
        col(ConversationEvent.at) > done.at,
        col(ConversationEvent.agent_id).is_not(None),
    )
    answers = select(col(Message.conversation_id)).where(
        col(Message.conversation_id).in_(numbers),
        col(Message.sent_at) > done.at,
        col(Message.author_kind) == AuthorKind.AGENT,
    )
    return {number for query in (events, answers) for number in (await session.execute(query)).scalars()}


def _kept(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
