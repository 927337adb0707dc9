"""The rulebook: the rules in force, read from rows when they changed; made, changed, moved and restored by people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.registry import CONNECTORS
from socialcrm.database import Database
from socialcrm.domain import conditions
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.hook import Hook
from socialcrm.domain.message import RuleTrace
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.rule import (
    Rule,
    RuleBook,
    RuleRun,
    RuleSilence,
    RuleTally,
    RuleTask,
    RuleVersion,
    TaskKind,
    TaskStatus,
    Why,
)
from socialcrm.domain.rulebook import (
    CUSTOMER_SILENT,
    MESSAGE,
    Body,
    RuleError,
    World,
    check_loops,
    check_names,
    read,
    write,
)
from socialcrm.domain.triage import Ready, ready
from socialcrm.engine.line import Line

SPACE = 1024
"""Between two positions when rules are numbered anew."""
LABELS_OF = 2000
"""The newest conversations whose labels are offered."""
FORGOTTEN_AT_ONCE = 5000


@dataclass(frozen=True)
class Book:
    """The rules in force, ready to be tried, by event."""

    stamp: int
    rules: Mapping[str, tuple[Ready, ...]] = field(default_factory=dict)
    since: Mapping[int, datetime] = field(default_factory=dict)
    """Rule -> when it was switched on or changed last."""
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Event -> what has to be read of the database before its rules are tried."""

    def of(self, event: str) -> tuple[Ready, ...]:
        """The rules that wait for an event, in order."""
        return self.rules.get(event, ())


_books: WeakKeyDictionary[Database, Book] = WeakKeyDictionary()


async def load(session: AsyncSession, line: Line) -> Book:
    """The rules in force. On a fresh installation those of the file are taken over first: needs a writing session."""
    stamp = await _stamp(session, line)
    known = _books.get(line.database)
    if known is None or known.stamp != stamp:
        rows = [row for row in await rules(session) if row.is_on]
        known = book_of([(row.id or 0, body_of(row), row.since_at) for row in rows], stamp)
        if stamp:
            _books[line.database] = known
    return known


async def peek(session: AsyncSession, line: Line) -> Book:
    """The rules in force, without taking any over: for a reading session."""
    stamp = await session.scalar(select(col(RuleBook.stamp)).where(col(RuleBook.id) == 1))
    known = _books.get(line.database)
    if known is None or known.stamp != stamp:
        rows = [row for row in await rules(session) if row.is_on]
        known = book_of([(row.id or 0, body_of(row), row.since_at) for row in rows], stamp or 0)
        if stamp:
            _books[line.database] = known
    return known


def book_of(entries: Sequence[tuple[int, Body, datetime]], stamp: int = 0) -> Book:
    """Rules made ready."""
    by_event: dict[str, list[Ready]] = {}
    needs: dict[str, frozenset[str]] = {}
    for number, body, _ in entries:
        by_event.setdefault(body.on, []).append(ready(body, number))
        needs[body.on] = needs.get(body.on, frozenset()) | conditions.needs(body.when)
    return Book(
        stamp,
        {event: tuple(found) for event, found in by_event.items()},
        {number: since for number, _, since in entries},
        needs,
    )


async def ensure(line: Line) -> None:
    """Take the rules of the file over, if that was not done yet."""
    async with line.database.read() as session:
        if await session.scalar(select(col(RuleBook.imported_at)).limit(1)):
            return
    async with line.database.write() as session:
        await _stamp(session, line)


async def rules(session: AsyncSession) -> Sequence[Rule]:
    """All rules that were not deleted, in order."""
    query = select(Rule).where(col(Rule.deleted_at).is_(None)).order_by(col(Rule.position), col(Rule.id))
    return (await session.execute(query)).scalars().all()


def body_of(row: Rule | RuleVersion) -> Body:
    """What a row says; it was checked when it was saved."""
    body = read(row.body, "Rule")
    return replace(body, is_on=row.is_on)


async def world(session: AsyncSession, line: Line) -> World:
    """What rules may name now."""
    agents = (await session.execute(select(Agent).where(col(Agent.is_active)))).scalars().all()
    channels = (await session.execute(select(col(Channel.key), col(Channel.connector)))).all()
    newest = select(col(Conversation.labels)).order_by(col(Conversation.id).desc()).limit(LABELS_OF)
    return World(
        teams=frozenset((await session.execute(select(col(Team.key)))).scalars()),
        agents=frozenset(agent.email for agent in agents),
        skills=frozenset(skill for agent in agents for skill in getattr(agent, "skills", ())),
        channels=frozenset([*CONNECTORS, *(key for key, _ in channels), *(kind for _, kind in channels)]),
        hooks=frozenset((await session.execute(select(col(Hook.name)))).scalars()),
        templates=line.engagement.replies,
        labels=frozenset(label for labels in (await session.execute(newest)).scalars() for label in labels),
        has_mail=bool(line.settings.mail.host),
    )


async def save(
    session: AsyncSession, line: Line, body: Body, by: Agent | None, number: int | None = None, why: Why = Why.CHANGED
) -> Rule:
    """Keep a rule, new or changed, as a version of its own. Raises RuleError and changes nothing."""
    await _stamp(session, line, is_changing=True)
    present = await rules(session)
    check_names(body, await world(session, line))
    _check_alone(body, [row for row in present if row.id != number])
    others = [body_of(row) for row in present if row.id != number]
    check_loops([*others, body])
    now = line.now()
    row = await session.get(Rule, number) if number is not None else None
    if row is None:
        why = Why.MADE if why is Why.CHANGED else why
        last = max((one.position for one in present), default=0)
        row = Rule(name=body.name, event=body.on, position=last + SPACE, version=0, changed_at=now, since_at=now)
        session.add(row)
    row.name, row.event, row.body, row.is_on = body.name, body.on, write(replace(body, is_on=True)), body.is_on
    row.deleted_at = None
    await _version(session, line, row, by, why)
    return row


async def switch(session: AsyncSession, line: Line, number: int, is_on: bool, by: Agent | None) -> Rule:
    """Switch a rule on or off. Raises RuleError where it may not be switched on."""
    await _stamp(session, line, is_changing=True)
    row = await session.get_one(Rule, number)
    if row.is_on == is_on or row.deleted_at is not None:
        return row
    if is_on:
        body = replace(body_of(row), is_on=True)
        check_names(body, await world(session, line))
        check_loops([*(body_of(one) for one in await rules(session) if one.id != number), body])
    row.is_on = is_on
    if not is_on:
        await _forget(session, line, number)
    await _version(session, line, row, by, Why.SWITCHED_ON if is_on else Why.SWITCHED_OFF)
    return row


async def remove(session: AsyncSession, line: Line, number: int, by: Agent | None) -> Rule:
    """Delete a rule; its versions stay, and `restore` brings it back."""
    await _stamp(session, line, is_changing=True)
    row = await session.get_one(Rule, number)
    if row.deleted_at is None:
        await _forget(session, line, number)
        await _version(session, line, row, by, Why.DELETED)
        row.deleted_at = line.now()
    return row


async def restore(session: AsyncSession, line: Line, number: int, version: int, by: Agent | None) -> Rule:
    """Make a rule again what it was. Raises RuleError where that cannot be used any more."""
    query = select(RuleVersion).where(col(RuleVersion.rule_id) == number, col(RuleVersion.version) == version)
    old = (await session.execute(query)).scalar_one_or_none()
    if old is None:
        raise RuleError("There is no such version.")
    return await save(session, line, body_of(old), by, number, Why.RESTORED)


async def move(session: AsyncSession, line: Line, number: int, step: int) -> None:
    """Move a rule up (-1) or down (1) among those of its event."""
    await _stamp(session, line, is_changing=True)
    present = list(await rules(session))
    row = next((one for one in present if one.id == number), None)
    if row is None:
        return
    same = [one for one in present if (one.event == MESSAGE) == (row.event == MESSAGE)]
    place = same.index(row)
    if not 0 <= place + step < len(same):
        return
    same[place], same[place + step] = same[place + step], same[place]
    ordered = [*same, *(one for one in present if one not in same)]
    for position, one in enumerate(ordered, 1):
        one.position = position * SPACE


async def versions(session: AsyncSession, number: int) -> list[tuple[RuleVersion, str | None]]:
    """What a rule was, newest first, with the name of who made it so."""
    query = (
        select(RuleVersion, col(Agent.name))
        .outerjoin(Agent, col(Agent.id) == col(RuleVersion.made_by_id))
        .where(col(RuleVersion.rule_id) == number)
        .order_by(col(RuleVersion.version).desc())
    )
    return [(row, name) for row, name in (await session.execute(query)).all()]


async def fired(session: AsyncSession, since: datetime) -> dict[int, int]:
    """Rule -> how often it fired since a time."""
    query = (
        select(col(RuleTally.rule_id), func.sum(col(RuleTally.count)))
        .where(col(RuleTally.at) >= since)
        .group_by(col(RuleTally.rule_id))
    )
    return {number: int(count) for number, count in (await session.execute(query)).all()}


async def import_rules(session: AsyncSession, line: Line, bodies: Sequence[Body], by: Agent | None) -> tuple[int, int]:
    """Take rules from a file: one of the same name is changed, the others are added, in the order of the file; how many
    were added and changed. All or none: raises RuleError."""
    names = [body.name for body in bodies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RuleError(f"Rule {twice!r}: two rules of the file have this name.")
    known = {row.name: row for row in await rules(session)}
    added = changed = 0
    for body in bodies:
        row = known.get(body.name)
        if row is None:
            await save(session, line, body, by, None, Why.IMPORTED)
            added += 1
        elif body_of(row) != body:
            await save(session, line, body, by, row.id, Why.IMPORTED)
            changed += 1
    return added, changed


async def prune(session: AsyncSession, now: datetime) -> None:
    """Put the counts of a day together, so that they stay few."""
    query = select(RuleTally).where(col(RuleTally.at) < now - timedelta(days=2)).order_by(col(RuleTally.id))
    kept: dict[tuple[int, date], RuleTally] = {}
    for row in (await session.execute(query)).scalars().all():
        first = kept.setdefault((row.rule_id, row.at.date()), row)
        if first is not row:
            first.count += row.count
            await session.delete(row)


async def forget(session: AsyncSession, before: datetime) -> int:
    """Delete a batch of the reasons that are older; how many there were. The oldest have the lowest numbers."""
    done = 0
    for table in (RuleTrace, RuleRun):
        oldest = select(col(table.id)).order_by(col(table.id)).limit(FORGOTTEN_AT_ONCE)
        old = delete(table).where(col(table.id).in_(oldest), col(table.at) < before)
        done += getattr(await session.execute(old), "rowcount", 0)
    return done


async def silence_broken(session: AsyncSession, book: Book, numbers: Iterable[int]) -> None:
    """Customers wrote: their next silence is another one."""
    rules = [rule.id for rule in book.of(CUSTOMER_SILENT)]
    if rules:
        old = delete(RuleSilence).where(
            col(RuleSilence.rule_id).in_(rules), col(RuleSilence.conversation_id).in_(set(numbers))
        )
        await session.execute(old)


def _check_alone(body: Body, others: Sequence[Rule]) -> None:
    if any(row.name == body.name for row in others):
        raise RuleError(f"Rule {body.name!r}: name: another rule has this name already.")


async def _stamp(session: AsyncSession, line: Line, is_changing: bool = False) -> int:
    """The number of the rules as they are, which grows when they are about to change. Locked then, so that two people
    who change rules at once do so one after the other."""
    query = select(RuleBook).where(col(RuleBook.id) == 1)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None or row.imported_at is None:
        await _first(session, line)
        if not is_changing:
            return 0  # of a transaction that may yet be undone nothing is remembered
    if is_changing:
        locked = query.with_for_update().execution_options(populate_existing=True)
        row = (await session.execute(locked)).scalar_one()
        row.stamp += 1
        await session.flush()
    return row.stamp if row else 0


async def _first(session: AsyncSession, line: Line) -> None:
    """A fresh installation starts with the rules of the file."""
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    await session.execute(make(RuleBook).values(id=1, stamp=0).on_conflict_do_nothing())
    query = select(RuleBook).where(col(RuleBook.id) == 1).with_for_update().execution_options(populate_existing=True)
    row = (await session.execute(query)).scalar_one()
    if row.imported_at is None:
        now = line.now()
        row.imported_at, row.stamp = now, 1
        for place, body in enumerate(line.engagement.rules, 1):
            rule = Rule(name=body.name, event=body.on, position=place * SPACE, version=0, changed_at=now, since_at=now)
            rule.body, rule.is_on = write(replace(body, is_on=True)), body.is_on
            session.add(rule)
            await _version(session, line, rule, None, Why.IMPORTED)
        await session.flush()


async def _forget(session: AsyncSession, line: Line, number: int) -> None:
    """What a rule left for later is not done once it is off: who switches it off wants it to stop."""
    waiting = update(RuleTask).where(
        col(RuleTask.rule_id) == number,
        col(RuleTask.status) == TaskStatus.WAITING.value,
        col(RuleTask.kind) != TaskKind.WAKE.value,  # nobody would wake the conversation up
    )
    reason = "the rule was switched off"
    await session.execute(waiting.values(status=TaskStatus.CANCELLED.value, reason=reason, done_at=line.now()))


async def _version(session: AsyncSession, line: Line, row: Rule, by: Agent | None, why: Why) -> None:
    now = line.now()
    row.version += 1
    row.changed_at, row.changed_by_id, row.since_at = now, by.id if by else None, now
    await session.flush()
    session.add(
        RuleVersion(
            rule_id=row.id or 0,
            version=row.version,
            why=why,
            body=row.body,
            is_on=row.is_on,
            made_at=now,
            made_by_id=row.changed_by_id,
        )
    )
    await session.flush()
