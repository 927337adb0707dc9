"""Replay: an archive goes through the line as if it came in now. Stopped anywhere, the next call goes on from there."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from connectors.base import BadPayload, Connector, RawEvent
from socialcrm.domain.bot import BotTurn
from socialcrm.domain.channel import Channel
from socialcrm.domain.columns import constant
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.ledger import Fate, RawEventRow
from socialcrm.domain.message import Analysis, AuthorKind, Message, Step
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.engine import ledger
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable

CONNECTOR = "replay"
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class ReplayCounts:
    """What became of one replay."""

    received: int
    stored: int
    duplicate: int
    ignored: int
    dead: int
    waiting: int
    analyzed: int
    triaged: int
    answered: int


async def open_channel(line: Line, file: Path, settings: dict[str, Any]) -> Channel:
    """The channel of an archive: one per file name, made at the first replay."""
    name = file.name.partition(".")[0]
    key = f"{CONNECTOR}-{name}"
    async with line.database.write() as session:
        query = select(Channel).where(col(Channel.key) == key).with_for_update()
        channel = (await session.execute(query)).scalar_one_or_none()
        now = line.now()
        if channel is None:
            channel = Channel(connector=CONNECTOR, key=key, name=f"{name} (archive)", created_at=now, changed_at=now)
            session.add(channel)
        settings = {"file": str(file.resolve()), **settings}
        if channel.settings != settings:
            channel.settings, channel.changed_at = settings, now
        if channel.cursor is None or channel.cursor.get("is_finished"):
            channel.cursor = {"run": uuid.uuid4().hex, "row": 0, "is_done": False}
    return channel


async def load(line: Line, channel: Channel, speed: float, on_rows: Callable[[int], None]) -> None:
    """Put the rows that are left into the ledger, each page together with the cursor. With a `speed` they come as far
    apart as they once did, divided by it."""
    connector = line.channels.open(channel)
    number = channel.id or 0
    on_rows(channel.cursor["row"])
    pace = Pace(connector, speed) if speed else None
    while not channel.cursor["is_done"]:
        page = await connector.poll(channel.cursor)
        if pace is not None:
            async for events in pace.apart(page.events):
                await _keep(
                    line, number, channel, events, {**channel.cursor, "row": channel.cursor["row"] + len(events)}
                )
                on_rows(len(events))
            await _keep(line, number, channel, (), page.cursor)
        else:
            await _keep(line, number, channel, page.events, page.cursor)
            on_rows(len(page.events))


async def finish(line: Line, channel: Channel) -> None:
    """Note that this replay is over: the next one starts at the first row."""
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id)
        row.cursor = {**row.cursor, "is_finished": True}


@asynccontextmanager
async def running(line: Line) -> AsyncIterator[None]:
    """The line at work in this process."""
    timetable = Timetable(line)
    await timetable.start()
    try:
        yield
    finally:
        await timetable.stop()


async def wait_until_done(
    line: Line, channel: Channel, on_counts: Callable[[ReplayCounts], None] | None = None
) -> None:
    """Return when nothing of this replay waits any more and its answers are settled. Counting for a progress bar takes
    at most a tenth of the time."""
    clock = asyncio.get_running_loop().time
    while await _is_under_way(line, channel):
        spent = 0.0
        if on_counts is not None:
            begin = clock()
            on_counts(await counts(line, channel))
            spent = clock() - begin
        await asyncio.sleep(max(LOOK_SECONDS, 9 * spent))


async def counts(line: Line, channel: Channel) -> ReplayCounts:
    """What has become of a replay so far."""
    run = channel.cursor["run"]
    of_run = col(RawEventRow.run) == run
    stored = (
        select(func.count()).select_from(RawEventRow).join(Message, col(Message.raw_event_id) == col(RawEventRow.id))
    )
    answers = (
        select(func.count())
        .select_from(Message)
        .where(
            col(Message.author_kind).in_((AuthorKind.RULE, AuthorKind.BOT)),
            col(Message.answers_id).in_(
                select(col(Message.id))
                .join(RawEventRow, col(Message.raw_event_id) == col(RawEventRow.id))
                .where(of_run)
            ),
        )
    )
    async with line.database.read() as session:
        book = await ledger.counts(session, run=run)
        analyzed = await session.scalar(
            stored.join(Analysis, col(Analysis.message_id) == col(Message.id)).where(of_run)
        )
        triaged = await session.scalar(stored.where(of_run, col(Message.processed_at).is_not(None)))
        answered = await session.scalar(answers)
    return ReplayCounts(**asdict(book), analyzed=analyzed or 0, triaged=triaged or 0, answered=answered or 0)


async def _keep(line: Line, number: int, channel: Channel, events: Sequence[RawEvent], cursor: dict[str, Any]) -> None:
    now = line.now()
    async with line.database.write() as session:
        await ledger.append(session, number, events, now, run=cursor["run"])
        row = await session.get_one(Channel, number)
        row.cursor = cursor
    channel.cursor = cursor
    line.work.set()


async def _is_under_way(line: Line, channel: Channel) -> bool:
    """Whether anything of the channel waits for a step, the bot's turn in a conversation, or to be sent."""
    waits = (
        select(col(RawEventRow.id)).where(
            col(RawEventRow.channel_id) == channel.id, col(RawEventRow.fate) == constant(Fate.WAITING)
        ),
        select(col(Message.id)).where(col(Message.channel_id) == channel.id, col(Message.step) != constant(Step.DONE)),
        select(col(OutboxItem.id)).where(
            col(OutboxItem.channel_id) == channel.id,
            col(OutboxItem.status).in_((OutboxStatus.WAITING, OutboxStatus.SENDING)),
        ),
        select(col(BotTurn.conversation_id))
        .join(Conversation, col(Conversation.id) == col(BotTurn.conversation_id))
        .where(col(Conversation.channel_id) == channel.id),
    )
    async with line.database.read() as session:
        for query in waits:
            if (await session.execute(query.limit(1))).first() is not None:
                return True
    return False


class Pace:
    """Holds events back until their turn."""

    def __init__(self, connector: Connector, speed: float) -> None:
        self._connector = connector
        self._speed = speed
        self._first: datetime | None = None
        self._start = asyncio.get_running_loop().time()

    async def apart(self, events: Sequence[RawEvent]) -> AsyncIterator[Sequence[RawEvent]]:
        """Those that are due together, one group after another."""
        group: list[RawEvent] = []
        for event in events:
            wait = self._due(event) - asyncio.get_running_loop().time()
            if wait > 0.2:
                if group:
                    yield group
                    group = []
                    wait = self._due(event) - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, wait))
            group.append(event)
        if group:
            yield group

    def _due(self, event: RawEvent) -> float:
        try:
            sent_at = self._connector.read(event)[0].sent_at
        except BadPayload:
            return 0.0
        self._first = self._first or sent_at
        return self._start + (sent_at - self._first).total_seconds() / self._speed
