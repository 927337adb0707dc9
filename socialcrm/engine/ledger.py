"""The ledger: raw events are kept before anybody says "got it", and every one of them is accounted for."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import RawEvent
from socialcrm.database import Database, insert_rows
from socialcrm.domain.channel import Channel
from socialcrm.domain.columns import constant
from socialcrm.domain.ledger import Fate, Origin, RawEventRow


@dataclass(frozen=True)
class LedgerCounts:
    """How many raw events were received, and what became of them."""

    received: int
    stored: int
    duplicate: int
    ignored: int
    dead: int
    waiting: int

    @property
    def is_balanced(self) -> bool:
        """Whether every received event is accounted for."""
        return self.received == self.stored + self.duplicate + self.ignored + self.dead + self.waiting


async def append(
    session: AsyncSession,
    channel_id: int,
    events: Sequence[RawEvent],
    now: datetime,
    run: str | None = None,
    origin: Origin = Origin.USUAL,
) -> int:
    """Keep raw events of a channel; they are safe when the session's transaction is."""
    if not events:
        return 0
    rows = [
        {
            "channel_id": channel_id,
            "run": run,
            "line_number": event.line_number,
            "external_id": event.external_id,
            "payload": json.dumps(event.payload, separators=(",", ":")),
            "received_at": now,
            "origin": origin.value,
        }
        for event in events
    ]
    await insert_rows(session, RawEventRow, rows)
    return len(rows)


class Intake:
    """Keeps the events of many calls at once: calls that come while a transaction is under way share the next one, and
    each goes on when its own events are safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Call] = []
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, channel_id: int, events: Sequence[RawEvent], now: datetime) -> None:
        """Return when the events are committed; raises what the database raised when they are not."""
        call = Call(channel_id, events, now, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await call.done

    async def _write(self) -> None:
        while self._waiting:
            calls, self._waiting = self._waiting, []
            if await self._commit(calls) is not None:  # one of them is at fault: let it fail alone
                for call in calls:
                    call.settle(await self._commit([call]))
            else:
                for call in calls:
                    call.settle(None)

    async def _commit(self, calls: Sequence["Call"]) -> Exception | None:
        try:
            async with self._database.write() as session:
                for call in calls:
                    await append(session, call.channel_id, call.events, call.now)
        except Exception as error:
            return error
        return None


@dataclass(frozen=True)
class Call:
    """Events of one call, and who waits for them."""

    channel_id: int
    events: Sequence[RawEvent]
    now: datetime
    done: asyncio.Future[None]

    def settle(self, error: Exception | None) -> None:
        """Tell who waits; somebody who hung up is not told, but their events are kept."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


@dataclass(frozen=True)
class Waiting:
    """A raw event that waits for ingest."""

    id: int
    event: RawEvent
    received_at: datetime
    origin: str = Origin.USUAL


WAITING = select(col(RawEventRow.id)).where(col(RawEventRow.fate) == constant(Fate.WAITING))


async def claim(session: AsyncSession, limit: int) -> tuple[Channel, list[Waiting]] | None:
    """Waiting raw events of one channel, oldest first, with the channel locked until the session ends.

    One process at a time reads one channel, so its events keep their order and two of them never open the same
    conversation twice. The lock lets webhooks go on adding events (FOR NO KEY UPDATE). SQLite has one writer and
    leaves the lock out by itself.
    """
    has_work = select(col(RawEventRow.id)).where(
        col(RawEventRow.channel_id) == col(Channel.id), col(RawEventRow.fate) == constant(Fate.WAITING)
    )
    pick = (
        select(Channel)
        .where(has_work.exists())
        .order_by(col(Channel.ingested_at).asc().nulls_first(), col(Channel.id))
        .limit(1)
        .with_for_update(skip_locked=True, key_share=True)
    )
    channel = (await session.execute(pick)).scalar_one_or_none()
    if channel is None:
        return None
    query = (
        select(*(col(c) for c in (RawEventRow.id, RawEventRow.payload, RawEventRow.external_id)))
        .add_columns(*(col(c) for c in (RawEventRow.line_number, RawEventRow.received_at, RawEventRow.origin)))
        .where(col(RawEventRow.channel_id) == channel.id, col(RawEventRow.fate) == constant(Fate.WAITING))
        .order_by(col(RawEventRow.id))
        .limit(limit)
    )
    return channel, [
        Waiting(number, RawEvent(json.loads(payload), external_id, line_number, received_at), received_at, origin)
        for number, payload, external_id, line_number, received_at, origin in (await session.execute(query)).all()
    ]


class Fates:
    """What became of the raw events of a batch; written down in one go."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Fate, str]] = {}

    def settle(self, number: int, fate: Fate, reason: str = "") -> None:
        """Say what became of one. One that brought several messages is stored when any of them was."""
        if self._found.get(number, (fate, ""))[0] is not Fate.STORED or fate is Fate.STORED:
            self._found[number] = fate, reason

    async def write(self, session: AsyncSession, now: datetime) -> None:
        """Write all of them down."""
        groups: dict[tuple[Fate, str], list[int]] = {}
        for number, outcome in self._found.items():
            groups.setdefault(outcome, []).append(number)
        for (fate, reason), numbers in groups.items():
            change = update(RawEventRow).where(col(RawEventRow.id).in_(numbers))
            await session.execute(change.values(fate=fate.value, reason=reason, processed_at=now))


async def counts(session: AsyncSession, channel_id: int | None = None, run: str | None = None) -> LedgerCounts:
    """The account of everything, of one channel, or of one replay. Received is counted by itself, not added up."""
    where = []
    if channel_id is not None:
        where.append(col(RawEventRow.channel_id) == channel_id)
    if run is not None:
        where.append(col(RawEventRow.run) == run)
    received = await session.scalar(select(func.count()).select_from(RawEventRow).where(*where))
    rows = await session.execute(
        select(col(RawEventRow.fate), func.count()).where(*where).group_by(col(RawEventRow.fate))
    )
    fates = {fate: number for fate, number in rows.all()}
    return LedgerCounts(received or 0, **{fate.value: fates.get(fate.value, 0) for fate in Fate})


async def counts_by_channel(database: Database) -> dict[str, LedgerCounts]:
    """The account of each channel by name, and of "all channels"."""
    async with database.read() as session:
        channels = (await session.execute(select(Channel).order_by(col(Channel.id)))).scalars().all()
        found = {channel.name: await counts(session, channel_id=channel.id) for channel in channels}
        return {**found, "all channels": await counts(session)}


async def dead_letters(database: Database, limit: int = 1000) -> Sequence[RawEventRow]:
    """The newest dead letters, oldest first."""
    query = select(RawEventRow).where(col(RawEventRow.fate) == Fate.DEAD).order_by(col(RawEventRow.id).desc())
    async with database.read() as session:
        return list(reversed((await session.execute(query.limit(limit))).scalars().all()))


async def replay_dead(session: AsyncSession, event_ids: Sequence[int] | None = None) -> int:
    """Let dead letters (all of them, or the named ones) wait for ingest again; how many there were."""
    change = update(RawEventRow).where(col(RawEventRow.fate) == Fate.DEAD)
    if event_ids is not None:
        change = change.where(col(RawEventRow.id).in_(event_ids))
    result = await session.execute(change.values(fate=Fate.WAITING.value, reason="", processed_at=None))
    return int(getattr(result, "rowcount", 0))
