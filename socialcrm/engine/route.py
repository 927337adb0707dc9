"""Route: conversations that wait for an agent -> the best one who is here and has room, the most urgent first.

One process gives out work at a time, so that two do not fill the same place; the others go on with their line. What
it reads of the queue grows with the room that is free, not with the queue.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, false, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from socialcrm.database import insert_rows, update_rows
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind, is_queued
from socialcrm.domain.people import Agent
from socialcrm.domain.routing import CHATS, Choice, Need, Routing, choose
from socialcrm.engine import roster as rosters
from socialcrm.engine.line import Line
from socialcrm.engine.roster import Roster
from socialcrm.engine.routing import routing_in_force

LOCK = 0x50C1A3
PAGE = 200
MOST = 2000
"""Conversations looked at in one go: those that wait for a language or a skill may stand before others."""

READ = (
    Conversation.id,
    Conversation.contact_id,
    Conversation.team_id,
    Conversation.kind,
    Conversation.language,
    Conversation.wanted_skill,
    Conversation.wanted_agent_id,
    Conversation.last_agent_id,
    Conversation.avoided_agent_id,
    Conversation.queued_at,
    Conversation.score,
)


@dataclass(frozen=True)
class Queued:
    """What routing reads of a conversation: the columns of READ, and the kind of its channel."""

    id: int
    contact_id: int
    team_id: int | None
    kind: str
    language: str
    wanted_skill: str
    wanted_agent_id: int | None
    last_agent_id: int | None
    avoided_agent_id: int | None
    queued_at: datetime
    score: float
    connector: str


async def route(line: Line) -> int:
    """Give out what the people who are here have room for; how many conversations that were."""
    async with line.database.read() as session:
        if not await _has_any(session, line):
            return 0
    async with line.database.write() as session:
        if not await _is_alone(session):
            return 0
        given = await _give_out(session, line)
    if given:
        line.live.ring()
    return given


async def why_waiting(session: AsyncSession, line: Line, conversation_ids: Sequence[int]) -> dict[int, str]:
    """Why nobody has some conversations that routing looks for somebody for, in the words of `Choice.why`; `soon` for
    one that is about to be given, `teamless` for one without a team. What routing leaves to people is missing."""
    query = (
        select(*(col(column) for column in READ), col(Channel.connector))
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .where(is_queued(), col(Conversation.id).in_(conversation_ids))
    )
    rows = [Queued(**row._mapping) for row in (await session.execute(query)).all()]
    if not rows:
        return {}
    routing = await routing_in_force(session, line)
    roster = await rosters.load(session, line, routing)
    found = {}
    for row in rows:
        need = _need(row, None, routing, line.now())
        choice = choose(need, roster.seats, routing, roster.overflows)
        found[row.id] = "teamless" if need.team_id is None else "soon" if choice.seat else choice.why[0]
    return found


async def _is_alone(session: AsyncSession) -> bool:
    """Whether no other process gives out work until this transaction ends. SQLite has one writer anyway."""
    if session.get_bind().dialect.name != "postgresql":
        return True
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(LOCK))))


async def _give_out(session: AsyncSession, line: Line) -> int:
    now, routing = line.now(), await routing_in_force(session, line)
    roster = await rosters.load(session, line, routing)
    given: list[tuple[Queued, Need, Choice]] = []
    after: Queued | None = None
    for _ in range(MOST // PAGE):
        page = await _page(session, roster, routing, now, after)
        known = await _known_agents(session, page, routing, now) if page else {}
        for row in page:
            need = _need(row, known.get(row.contact_id), routing, now)
            choice = choose(need, roster.seats, routing, roster.overflows)
            if choice.seat is not None:
                choice.seat.give(need.bucket, now)
                given.append((row, need, choice))
        if len(page) < PAGE:
            break
        after = page[-1]
    await _write(session, line, given, now)
    return len(given)


async def _page(
    session: AsyncSession, roster: Roster, routing: Routing, now: datetime, after: Queued | None
) -> list[Queued]:
    """The next conversations, most urgent first, locked; those that another process is at work on come later."""
    points = col(Conversation.score)
    query = (
        select(*(col(column) for column in READ), col(Channel.connector))
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .where(_is_eligible(roster, routing, now))
        .order_by(points.desc(), col(Conversation.id))
        .limit(PAGE)
        .with_for_update(of=Conversation, skip_locked=True, key_share=True)
    )
    if after is not None:
        query = query.where(or_(points < after.score, and_(points == after.score, col(Conversation.id) > after.id)))
    return [Queued(**row._mapping) for row in (await session.execute(query)).all()]


async def _has_any(session: AsyncSession, line: Line) -> bool:
    """Whether anything can be given out. Locks nothing."""
    if await session.scalar(select(col(Conversation.id)).where(is_queued()).limit(1)) is None:
        return False
    routing = await routing_in_force(session, line)
    roster = await rosters.load(session, line, routing)
    query = select(col(Conversation.id)).join(Channel, col(Channel.id) == col(Conversation.channel_id)).limit(1)
    return await session.scalar(query.where(_is_eligible(roster, routing, line.now()))) is not None


def _is_eligible(roster: Roster, routing: Routing, now: datetime) -> ColumnElement[bool]:
    """Whether a conversation waits for somebody, and somebody could have room for it."""
    room = [_fits(bucket, teams, routing) for bucket, teams in roster.room.items()]
    return and_(is_queued(), or_(false(), *room), *_is_understood(roster, routing, now))


def _fits(bucket: str, teams: Collection[int], routing: Routing) -> ColumnElement[bool]:
    """Whether a conversation counts as `bucket` and is one of these teams'."""
    team, connector = col(Conversation.team_id), col(Channel.connector)
    is_theirs: ColumnElement[bool] = team.in_(teams)
    if routing.default_team_id in teams:
        is_theirs = or_(is_theirs, team.is_(None))
    if bucket in routing.apart:
        return and_(is_theirs, connector == bucket)
    kinds = [kind.value for kind in MessageKind if (kind is MessageKind.DIRECT_MESSAGE) == (bucket == CHATS)]
    others = [connector.not_in(routing.apart)] if routing.apart else []
    return and_(col(Conversation.kind).in_(kinds), is_theirs, *others)


def _is_understood(roster: Roster, routing: Routing, now: datetime) -> list[ColumnElement[bool]]:
    """Leaves out most of those that wait for a language or a skill that nobody with room has."""
    queued, free, found = col(Conversation.queued_at), roster.free, []
    if all(seat.languages for seat in free):
        spoken = {"", "other"}.union(*(seat.languages for seat in free))
        waited = queued <= now - timedelta(minutes=routing.language_minutes)
        found.append(or_(col(Conversation.language).in_(spoken), waited))
    skills = {""}.union(*(seat.skills for seat in free))
    found.append(
        or_(col(Conversation.wanted_skill).in_(skills), queued <= now - timedelta(minutes=routing.skill_minutes))
    )
    return found


async def _known_agents(
    session: AsyncSession, page: Sequence[Queued], routing: Routing, now: datetime
) -> dict[int, int]:
    """Who looked after each person last, not too long ago."""
    if not routing.stick_days:
        return {}
    since = now - timedelta(days=routing.stick_days)
    query = (
        select(col(Conversation.contact_id), col(Conversation.agent_id))
        .where(
            col(Conversation.contact_id).in_({row.contact_id for row in page}),
            col(Conversation.agent_id).is_not(None),
            col(Conversation.last_message_at) > since,
        )
        .order_by(col(Conversation.last_message_at), col(Conversation.id))
    )
    return {contact: agent for contact, agent in (await session.execute(query)).all() if agent is not None}


def _need(row: Queued, known: int | None, routing: Routing, now: datetime) -> Need:
    last = row.last_agent_id if routing.stick_days else None
    return Need(
        team_id=row.team_id if row.team_id is not None else routing.default_team_id,
        bucket=routing.bucket(row.connector, row.kind),
        language=row.language,
        skill=row.wanted_skill,
        wanted_agent_id=row.wanted_agent_id,
        known_agent_id=last or known,
        avoided_agent_id=row.avoided_agent_id,
        waited=now - row.queued_at,
    )


async def _write(
    session: AsyncSession, line: Line, given: Sequence[tuple[Queued, Need, Choice]], now: datetime
) -> None:
    rows, events, agents = [], [], set()
    for row, need, choice in given:
        seat = choice.seat
        if seat is None:
            continue
        agents.add(seat.agent_id)
        rows.append(
            {
                "id": row.id,
                "agent_id": seat.agent_id,
                "team_id": need.team_id,
                "assigned_at": now,
                "queued_at": None,
                "avoided_agent_id": None,
            }
        )
        events.append(
            {
                "conversation_id": row.id,
                "at": now,
                "kind": EventKind.ASSIGNED.value,
                "data": {
                    "agent_id": seat.agent_id,
                    "why": list(choice.why),
                    "load": [seat.busy[need.bucket], seat.limits[need.bucket]],
                    "score": row.score,
                },
            }
        )
    await update_rows(session, Conversation, rows)
    await insert_rows(session, ConversationEvent, events)
    if agents:
        await session.execute(update(Agent).where(col(Agent.id).in_(agents)).values(assigned_at=now))
    await line.live.publish(session, "conversation", (row.id for row, _, _ in given), now)
