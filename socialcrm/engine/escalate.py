"""Escalate: tells of a promise before it is broken, and when it was, up the ladder of its policy."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.conversation import Change, Conversation, ConversationEvent, EventKind
from socialcrm.domain.people import Agent, Presence, Role, TeamMember
from socialcrm.domain.sla import Escalation, Notice, Policy, Rung, Sla, SlaCursor, SlaStale, Tell
from socialcrm.engine import hooks
from socialcrm.engine.calendars import book
from socialcrm.engine.line import Line
from socialcrm.engine.promises import begin, compute, follow, renew

log = logging.getLogger(__name__)
AT_ONCE = 100


async def escalate(line: Line) -> int:
    """Follow what changed, compute what that moves, then tell what is due; how many rows were taken."""
    if not line.settings.sla.is_on:
        return 0
    waits = await _waits(line)
    if waits is None:
        await begin(line)
        waits = (True, True, True)
    has_changes, has_stale, has_due = waits
    taken = await follow(line) if has_changes else 0
    taken += await compute(line) if has_changes or has_stale else 0
    if has_due and not taken:  # an answer that is there already is counted before anybody is told of its lack
        taken += await _tell_due(line)
    return taken


async def _waits(line: Line) -> tuple[bool, bool, bool] | None:
    """Whether there are changes to follow, promises to compute and people to tell; None before the first time."""
    async with line.database.read() as session:
        cursor = (await session.execute(select(SlaCursor).limit(1))).scalar_one_or_none()
        if cursor is None:
            return None
        newest = (await session.scalar(select(func.max(col(Change.id))))) or 0
        stale = select(exists().where(col(SlaStale.conversation_id).is_not(None)))
        due = select(exists().where(col(Sla.next_at) <= line.now()))
        has_stale, has_due = await session.scalar(stale), await session.scalar(due)
        return newest > cursor.change_id, bool(has_stale), bool(has_due)


async def _tell_due(line: Line) -> int:
    """Tell what is due of some conversations. Their rows are locked, so that each is one process's; promises are locked
    by `renew` alone, always in the order of their numbers."""
    now = line.now()
    is_due = (col(Sla.next_at).is_not(None), col(Sla.next_at) <= now)
    waiting = (
        select(col(Sla.conversation_id))
        .where(*is_due, ~exists().where(col(SlaStale.conversation_id) == col(Sla.conversation_id)))
        .order_by(col(Sla.next_at), col(Sla.id))
        .limit(AT_ONCE)
    )
    async with line.database.write() as session:
        numbers = set((await session.execute(waiting)).scalars())
        mine = select(Conversation).where(col(Conversation.id).in_(numbers)).order_by(col(Conversation.id))
        locked = mine.with_for_update(skip_locked=True, key_share=True)
        conversations = {c.id or 0: c for c in (await session.execute(locked)).scalars()}
        if not conversations:
            return 0
        affected = {number: SlaStale(conversation_id=number) for number in conversations}
        await renew(session, line, affected)  # of several percentages that passed meanwhile the highest is told
        query = select(Sla).where(col(Sla.conversation_id).in_(conversations), *is_due).order_by(col(Sla.id))
        due = (await session.execute(query.execution_options(populate_existing=True))).scalars().all()
        used = {policy.id: policy for policy in (await book(session, line)).policies}
        for row in due:
            if policy := used.get(row.policy_id):
                await _tell(session, line, row, policy, conversations[row.conversation_id], now)
            row.next_at = None
        await session.flush()
        await renew(session, line, affected)  # when is somebody told next?
        await line.live.publish(session, "sla", conversations, now)
    line.live.ring()
    line.work.set()
    return len(conversations)


async def _tell(
    session: AsyncSession, line: Line, row: Sla, policy: Policy, conversation: Conversation, now: datetime
) -> None:
    """Write the event and climb the steps of the ladder that it has reached; who was told stands in the event."""
    reached = [rung for rung in policy.ladder if row.percent < rung.percent <= row.next_percent]
    was, row.percent = row.percent, row.next_percent
    if row.percent >= 100 and row.breached_at is None:
        row.breached_at = row.due_at
    kind = EventKind.SLA_WARNING
    if row.percent >= 100:
        kind = EventKind.SLA_BREACHED if was < 100 else EventKind.SLA_ESCALATED
    data: dict[str, Any] = {
        "measure": row.measure,
        "percent": row.percent,
        "due_at": row.due_at.isoformat() if row.due_at else None,
        "policy": policy.name,
        "sla_id": row.id,
    }
    told: list[dict[str, str]] = []
    people: dict[int, Agent] = {}
    for rung in reached:
        told.append(await _climb(session, line, row, rung, conversation, people, data, kind, now))
    key = f"sla:{row.id}:{row.percent}:{data['due_at']}"
    await notify(session, list(people.values()), row.conversation_id, kind.value, data, key, now)
    event = ConversationEvent(conversation_id=row.conversation_id, at=now, kind=kind.value, data={**data, "told": told})
    session.add(event)


async def _climb(
    session: AsyncSession,
    line: Line,
    row: Sla,
    rung: Rung,
    conversation: Conversation,
    people: dict[int, Agent],
    data: Mapping[str, Any],
    kind: EventKind,
    now: datetime,
) -> dict[str, str]:
    """One step: who is told, or why nobody is. Those who get a notice are put into `people`: one for all steps."""
    key = f"sla:{row.id}:{rung.percent}:{data['due_at']}"
    said = {"tell": rung.tell.value, "to": rung.to}
    match rung.tell:
        case Tell.WEBHOOK:
            payload = {"event": kind.value, "conversation": row.conversation_id, **data}
            why = await hooks.put(session, line, rung.to, payload, f"{key}:{rung.to}"[:200], row.conversation_id)
            return {**said, "why": why} if why else said
        case Tell.EMAIL:
            if not line.settings.mail.host:
                return {**said, "why": "no mail server is set"}
            addresses = list(dict.fromkeys(part.strip() for part in rung.to.split(",") if part.strip()))
            await _mail(session, addresses, row.conversation_id, {**data, "kind": kind.value}, key, now)
            return said
        case _:
            found = await _people(session, rung.tell, conversation)
            people.update({person.id or 0: person for person in found})
            names = ", ".join(person.name for person in found)
            return {**said, "to": names} if found else {**said, "why": "nobody is there"}


async def notify(
    session: AsyncSession,
    people: Sequence[Agent],
    conversation_id: int,
    kind: str,
    data: Mapping[str, Any],
    key: str,
    now: datetime,
) -> None:
    """Put something on the page of notices of some people; the same `key` twice is one notice each."""
    keys = {f"{key}:{person.id}": person for person in people}
    known = set((await session.execute(select(col(Notice.key)).where(col(Notice.key).in_(keys)))).scalars())
    rows = [
        {"key": k, "agent_id": p.id, "conversation_id": conversation_id, "kind": kind, "data": dict(data), "at": now}
        for k, p in keys.items()
        if k not in known
    ]
    await insert_rows(session, Notice, rows)


async def _mail(
    session: AsyncSession,
    addresses: Sequence[str],
    conversation_id: int,
    data: Mapping[str, Any],
    key: str,
    now: datetime,
) -> None:
    """Ask for one mail to each address; the same `key` twice is one mail."""
    keys = {f"{key}:{address}": address for address in addresses}
    known = set((await session.execute(select(col(Escalation.key)).where(col(Escalation.key).in_(keys)))).scalars())
    rows = [
        {
            "key": k,
            "conversation_id": conversation_id,
            "tell": Tell.EMAIL.value,
            "recipient": address,
            "data": dict(data),
            "at": now,
            "due_at": now,
        }
        for k, address in keys.items()
        if k not in known
    ]
    await insert_rows(session, Escalation, rows)


async def _people(session: AsyncSession, tell: Tell, conversation: Conversation) -> Sequence[Agent]:
    """Whom a step tells. A conversation that nobody has is its team's, and one without a team the supervisors'."""
    everybody = select(Agent).where(col(Agent.is_active)).order_by(col(Agent.id))
    if tell is Tell.AGENT and conversation.agent_id is not None:
        return (await session.execute(everybody.where(col(Agent.id) == conversation.agent_id))).scalars().all()
    if tell is not Tell.SUPERVISORS and conversation.team_id is not None:
        members = select(col(TeamMember.agent_id)).where(col(TeamMember.team_id) == conversation.team_id)
        found = (await session.execute(everybody.where(col(Agent.id).in_(members)))).scalars().all()
        here = [agent for agent in found if agent.presence == Presence.ONLINE]
        if found:
            return here or found
    lead = everybody.where(col(Agent.role).in_((Role.SUPERVISOR.value, Role.ADMIN.value)))
    return (await session.execute(lead)).scalars().all()
