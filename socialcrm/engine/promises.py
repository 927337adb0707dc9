"""Promises: follows what changed and computes the promises of those conversations anew."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows, update_rows
from socialcrm.domain.calendar import Calendar, CalendarError
from socialcrm.domain.conversation import Change, Conversation, ConversationEvent, ConversationStatus, EventKind
from socialcrm.domain.message import Message
from socialcrm.domain.promise import ALWAYS, Happened, Said, Span, next_moment, outcome, spans
from socialcrm.domain.sla import Policy, Sla, SlaCursor, SlaPolicy, SlaStale, policy_of
from socialcrm.engine.calendars import Book, book, seed
from socialcrm.engine.line import Line

AT_ONCE = 100
"""Conversations in one transaction."""
CHANGES_AT_ONCE = 2000
FOLLOWED = ("message", "conversation")
"""Kinds of changes after which a promise may be another."""
EVENTS = (
    EventKind.OPENED,
    EventKind.REOPENED,
    EventKind.RESOLVED,
    EventKind.HANDED_OVER,
    EventKind.PAUSED,
    EventKind.RESUMED,
)
LOST = timedelta(hours=40)
"""Who followed nothing for so long looks at everything: the log of changes is emptied after two days."""
COMPARED = (
    "policy_id",
    "calendar_id",
    "team_id",
    "agent_id",
    "status",
    "target_seconds",
    "started_at",
    "due_at",
    "risk_at",
    "ended_at",
    "breached_at",
    "percent",
    "next_at",
    "next_percent",
)


async def begin(line: Line) -> None:
    """The first time: calendars and policies of a fresh installation; every open conversation has to be looked at."""
    async with line.database.write() as session:
        await seed(session, line)
        if (await session.execute(select(SlaCursor).limit(1))).first() is None:
            newest = (await session.scalar(select(func.max(col(Change.id))))) or 0
            session.add(SlaCursor(id=1, change_id=newest, followed_at=line.now()))
            await mark(session)


async def mark(session: AsyncSession, numbers: Iterable[int] | None = None, *, since: datetime | None = None) -> None:
    """Have promises computed anew: of the given conversations, or of all that are open. With `since` also of those
    that were opened from then on and ended, their promises that ended included.

    What is marked without its number is so because people changed what is promised: nobody is told of new promises that
    were over before they were made.
    """
    if numbers is not None:
        rows = [{"conversation_id": n, "is_forced": False, "is_quiet": False} for n in sorted(set(numbers))]
        if rows:
            await session.execute(_insert(session).values(rows).on_conflict_do_nothing())
        return
    query = select(col(Conversation.id), literal(False), literal(True)).where(
        col(Conversation.status) != ConversationStatus.RESOLVED, ~_is_marked()
    )
    await session.execute(insert(SlaStale).from_select(["conversation_id", "is_forced", "is_quiet"], query))
    if since is not None:
        past = col(Conversation.opened_at) >= since
        everyone = select(col(Conversation.id), literal(True), literal(True)).where(past, ~_is_marked())
        await session.execute(insert(SlaStale).from_select(["conversation_id", "is_forced", "is_quiet"], everyone))
        chosen = select(col(Conversation.id)).where(past)
        await session.execute(update(SlaStale).where(col(SlaStale.conversation_id).in_(chosen)).values(is_forced=True))


def _is_marked() -> Any:
    return exists().where(col(SlaStale.conversation_id) == col(Conversation.id))


def _insert(session: AsyncSession) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(SlaStale)


async def follow(line: Line) -> int:
    """Mark the conversations of which something changed; how many of the changes matter. One process at a time."""
    async with line.database.write() as session:
        query = select(SlaCursor).with_for_update(skip_locked=True)
        cursor = (await session.execute(query)).scalars().first()
        if cursor is None:
            return 0
        now = line.now()
        if cursor.followed_at < now - LOST:
            await mark(session)
        cursor.followed_at = max(now, cursor.followed_at)
        changes = select(col(Change.id), col(Change.conversation_id), col(Change.kind)).where(
            col(Change.id) > cursor.change_id
        )
        found = (await session.execute(changes.order_by(col(Change.id)).limit(CHANGES_AT_ONCE))).all()
        if found:
            cursor.change_id = found[-1][0] or cursor.change_id
            followed = [number for _, number, kind in found if kind in FOLLOWED]
            await mark(session, followed)
            return len(found) if len(found) == CHANGES_AT_ONCE else len(followed)
        return 0


async def compute(line: Line) -> int:
    """Compute the promises of one batch of conversations anew; how many conversations were taken."""
    async with line.database.write() as session:
        query = (
            select(SlaStale).order_by(col(SlaStale.conversation_id)).limit(AT_ONCE).with_for_update(skip_locked=True)
        )
        found = (await session.execute(query)).scalars().all()
        if not found:
            return 0
        stale = {row.conversation_id: row for row in found}
        await session.execute(delete(SlaStale).where(col(SlaStale.conversation_id).in_(stale)))
        changed = await renew(session, line, stale)
        await line.live.publish(session, "sla", changed, line.now())
    if changed:
        line.live.ring()
    return len(stale)


async def renew(session: AsyncSession, line: Line, stale: Mapping[int, SlaStale]) -> set[int]:
    """Compute the promises of some conversations (number -> how) and write what is different; those of which something
    was."""
    now, used = line.now(), await book(session, line)
    conversations = (await session.execute(select(Conversation).where(col(Conversation.id).in_(stale)))).scalars().all()
    messages, events = await _said(session, stale), await _happened(session, stale)
    kept: defaultdict[int, dict[tuple[str, int], Sla]] = defaultdict(dict)
    rows = select(Sla).where(col(Sla.conversation_id).in_(stale)).order_by(col(Sla.id)).with_for_update()
    for row in (await session.execute(rows)).scalars():
        kept[row.conversation_id][row.measure, row.place] = row
    new: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    gone: list[int] = []
    changed: set[int] = set()
    for conversation in conversations:
        number = conversation.id or 0
        policy = policy_of(used.policies, conversation)
        found = spans(policy, messages[number], events[number]) if policy else ()
        seen: set[tuple[str, int]] = set()
        for span in found:
            if policy is None:
                break
            key = (span.measure.value, span.place)
            seen.add(key)
            before = kept[number].get(key)
            if before and _is_settled(before, span) and not stale[number].is_forced:
                continue
            values = _values(used, policy, conversation, span, before, now, is_quiet=stale[number].is_quiet)
            if before is None:
                new.append(values)
            elif any(getattr(before, name) != values[name] for name in COMPARED):
                changes.append({"id": before.id, **values})
            else:
                continue
            changed.add(number)
        for key, row in kept[number].items():
            if key not in seen and row.ended_at is None:
                gone.append(row.id or 0)
                changed.add(number)
    if gone:
        await session.execute(delete(Sla).where(col(Sla.id).in_(gone)))
    await insert_rows(session, Sla, new)
    await update_rows(session, Sla, changes)
    return changed


def _is_settled(before: Sla, span: Span) -> bool:
    """Whether a promise ended as it did when it was last computed: it is not judged by rules that came later."""
    return before.ended_at is not None and (before.started_at, before.ended_at) == (span.started_at, span.ended_at)


def _values(
    used: Book,
    policy: Policy,
    conversation: Conversation,
    span: Span,
    before: Sla | None,
    now: datetime,
    *,
    is_quiet: bool,
) -> dict[str, Any]:
    target = policy.targets[span.measure]
    number = policy.calendar_id or used.number_for(conversation.team_id)
    calendar = used.calendars.get(number or 0, ALWAYS)
    try:
        result = outcome(span, calendar, target, now)
    except CalendarError:  # the calendar has hours, but none in any future: count the clock on the wall
        calendar, result = ALWAYS, outcome(span, ALWAYS, target, now)
    told = before.percent if before else 0
    if before and before.due_at != result.due_at:  # moved: what lies ahead again is said again
        told = _told(span, calendar, target, policy, told, now)
    if before is None and is_quiet:
        told = _over(span, calendar, target, policy, now)
    ahead = next_moment(span, calendar, target, policy.percents, told, now) if span.ended_at is None else None
    return {
        "conversation_id": conversation.id,
        "measure": span.measure.value,
        "place": span.place,
        "policy_id": policy.id,
        "calendar_id": number,
        "channel_id": conversation.channel_id,
        "team_id": conversation.team_id,
        "agent_id": span.by or conversation.agent_id,
        "status": result.status.value,
        "target_seconds": int(target.total_seconds()),
        "started_at": span.started_at,
        "due_at": result.due_at,
        "risk_at": result.risk_at,
        "ended_at": span.ended_at,
        "breached_at": result.breached_at,
        "business_seconds": int(result.business.total_seconds()),
        "wall_seconds": int(result.wall.total_seconds()),
        "paused_seconds": int(result.paused.total_seconds()),
        "percent": told,
        "next_at": ahead[0] if ahead else None,
        "next_percent": ahead[1] if ahead else 0,
        "computed_at": now,
    }


def _told(span: Span, calendar: Calendar, target: timedelta, policy: Policy, told: int, now: datetime) -> int:
    """How much of what was told is still true of a due time that moved: not what lies ahead now."""
    ahead = next_moment(span, calendar, target, [p for p in policy.percents if p <= told], 0, now)
    while told and ahead and ahead[0] > now:
        told = max((p for p in policy.percents if p < ahead[1]), default=0)
        ahead = next_moment(span, calendar, target, [p for p in policy.percents if p <= told], 0, now)
    return told


def _over(span: Span, calendar: Calendar, target: timedelta, policy: Policy, now: datetime) -> int:
    """The highest percentage of its time that is over."""
    ahead = next_moment(span, calendar, target, policy.percents, 0, now)
    return ahead[1] if ahead and ahead[0] <= now else 0


async def _said(session: AsyncSession, numbers: Iterable[int]) -> Mapping[int, Sequence[Said]]:
    columns: tuple[Any, ...] = (
        Message.conversation_id,
        Message.id,
        Message.direction,
        Message.author_kind,
        Message.sent_at,
        Message.received_at,
        Message.is_late,
        Message.is_found,
        Message.is_choice,
        Message.delivery,
        Message.agent_id,
    )
    query = select(*(col(column) for column in columns)).where(col(Message.conversation_id).in_(numbers))
    found: defaultdict[int, list[Said]] = defaultdict(list)
    for number, *rest in await session.execute(query):
        found[number].append(Said(*rest))
    return found


async def _happened(session: AsyncSession, numbers: Iterable[int]) -> Mapping[int, Sequence[Happened]]:
    event = ConversationEvent
    columns: tuple[Any, ...] = (event.conversation_id, event.id, event.kind, event.at, event.agent_id, event.data)
    query = select(*(col(column) for column in columns)).where(
        col(event.conversation_id).in_(numbers), col(event.kind).in_([kind.value for kind in EVENTS])
    )
    found: defaultdict[int, list[Happened]] = defaultdict(list)
    for number, row, kind, at, by, data in await session.execute(query):
        found[number].append(Happened(row, kind, at, by, str((data or {}).get("for", ""))))
    return found


async def missing(session: AsyncSession) -> int:
    """How many conversations wait to be computed anew."""
    return (await session.scalar(select(func.count()).select_from(SlaStale))) or 0


async def policies(session: AsyncSession) -> Sequence[SlaPolicy]:
    """All policies in the order in which they are tried, those that are off included."""
    query = (
        select(SlaPolicy).where(col(SlaPolicy.removed_at).is_(None)).order_by(col(SlaPolicy.place), col(SlaPolicy.id))
    )
    return (await session.execute(query)).scalars().all()
