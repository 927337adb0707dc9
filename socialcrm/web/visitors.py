"""What visitors of a chat see of their conversations, and waking their open widgets when that changes."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from connectors.base import kind_of
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.media import SHOWN
from socialcrm.domain.message import AuthorKind, Delivery, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)

PAGE = 50
CATCH_UP = 200
OVERLAP = 20
"""How many of the newest messages are read again at each catch-up: on PostgreSQL number 11 may be committed before
number 10, and a late one must not be passed over. Who gets them twice knows them by their number."""


@dataclass(frozen=True)
class Thread:
    """All conversations of one visitor on one channel."""

    channel_id: int
    visitor: str


@dataclass(frozen=True)
class Seen:
    """Messages as the widget gets them, oldest first. `cursor` is where to catch up from; `has_more` says that the page
    was too short for all."""

    messages: Sequence[dict[str, Any]]
    cursor: int
    has_more: bool


async def newest(session: AsyncSession, thread: Thread, before: int | None = None) -> Seen:
    """The newest messages, or those before number `before`."""
    query = _visible(thread).order_by(col(Message.id).desc()).limit(PAGE + 1)
    if before is not None:
        query = query.where(col(Message.id) < before)
    rows = list(reversed((await session.execute(query)).all()))
    has_more = len(rows) > PAGE
    rows = rows[-PAGE:]
    return Seen([_said(*row) for row in rows], await _cursor(session, thread, _last(rows, 0)), has_more)


async def since(session: AsyncSession, thread: Thread, cursor: int) -> Seen:
    """Every message that became visible after `cursor` was given, and perhaps a few that were visible before."""
    numbers = _visible(thread).with_only_columns(col(Message.id)).order_by(col(Message.id).desc())
    overlap = await session.scalar(numbers.offset(OVERLAP - 1).limit(1))
    start = min(cursor, (overlap or 1) - 1)
    query = _visible(thread).where(col(Message.id) > start).order_by(col(Message.id)).limit(CATCH_UP + 1)
    rows = (await session.execute(query)).all()
    has_more = len(rows) > CATCH_UP
    rows = rows[:CATCH_UP]
    last = _last(rows, cursor)
    return Seen([_said(*row) for row in rows], last if has_more else await _cursor(session, thread, last), has_more)


def _visible(thread: Thread) -> Any:
    """The visitor's own messages and what was sent to them: no notes, nothing that has not left, nobody else's."""
    return (
        select(Message, col(Agent.name))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .outerjoin(Agent, col(Agent.id) == col(Message.agent_id))
        .where(
            col(Conversation.channel_id) == thread.channel_id,
            col(Conversation.thread_key) == thread.visitor,
            col(Message.deleted_at).is_(None),
            or_(
                col(Message.direction) == Direction.IN,
                (col(Message.direction) == Direction.OUT) & (col(Message.delivery) == Delivery.SENT),
            ),
        )
    )


async def _cursor(session: AsyncSession, thread: Thread, last: int) -> int:
    """The number up to which everything is settled: what still waits to be sent may become visible later."""
    pending = await session.scalar(
        select(func.min(Message.id))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(
            col(Conversation.channel_id) == thread.channel_id,
            col(Conversation.thread_key) == thread.visitor,
            col(Message.direction) == Direction.OUT,
            col(Message.delivery) != Delivery.SENT,
        )
    )
    return min(last, pending - 1) if pending else last


def _last(rows: Sequence[Any], otherwise: int) -> int:
    return max(rows[-1][0].id, otherwise) if rows else otherwise


def _said(message: Message, agent: str | None) -> dict[str, Any]:
    is_own = message.direction == Direction.IN
    is_agent = message.author_kind == AuthorKind.AGENT
    return {
        "id": message.id,
        "key": message.external_id if is_own else None,
        "from": "visitor" if is_own else "agent" if is_agent else "bot",
        "name": agent.split()[0] if is_agent and agent and agent.strip() else "",
        "text": message.text,
        "buttons": [] if is_own else [{"label": b["label"], "value": b["value"]} for b in message.buttons],
        "files": [_file(entry) for entry in message.attachments if entry.get("sha256")],
        "at": message.sent_at.isoformat(),
        "edited_at": message.edited_at.isoformat() if message.edited_at else None,
    }


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    """A file that we have, by what its bytes say; the route makes `sha256` an address."""
    kind = str(entry.get("content_type"))
    shown = kind_of(kind) if kind in SHOWN else "document"
    return {"kind": shown, "name": entry.get("name", ""), "size": entry.get("size"), "sha256": entry["sha256"]}


class Visitors:
    """Wakes open widgets. One task follows the log of changes for all of them, so that a thousand waiting visitors cost
    one query a change; it runs while somebody waits."""

    def __init__(self) -> None:
        self._bells: dict[Thread, set[asyncio.Event]] = {}
        self.typing: Counter[Thread] = Counter()
        """How often an agent was typing, of threads that somebody has open."""
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_following(self) -> bool:
        """False once there is nobody who would ring: streams end, and their widgets come back."""
        return self._task is not None and not self._task.done() and not self._is_closed

    def count(self, thread: Thread) -> int:
        """How many streams this visitor has open."""
        return len(self._bells.get(thread, ()))

    @asynccontextmanager
    async def waiting(self, line: Line, thread: Thread) -> AsyncIterator[asyncio.Event]:
        """An event that is set after each change of the thread from now on."""
        bell = asyncio.Event()
        self._bells.setdefault(thread, set()).add(bell)
        try:
            async with self._starting:
                if not self.is_following and not self._is_closed:
                    self._task = asyncio.create_task(self._follow(line, await line.live.cursor()))
            yield bell
        finally:
            self._bells[thread].discard(bell)
            if not self._bells[thread]:
                del self._bells[thread]
                del self.typing[thread]
            if not self._bells and self._task is not None:
                self._task.cancel()
                self._task = None

    async def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        self._ring(list(self._bells))

    async def _follow(self, line: Line, cursor: int) -> None:
        try:
            async for batch in line.live.follow(cursor):
                if batch:
                    threads = await _threads(line, {change.conversation_id for change in batch})
                    typed = {each.conversation_id for each in batch if each.kind == "agent_typing"}
                    self.typing.update(t for number, t in threads if number in typed and t in self._bells)
                    self._ring(thread for _, thread in threads)
        except Exception:
            log.exception("the log of changes cannot be followed; the chat's widgets will come back")
        finally:
            self._ring(list(self._bells))

    def _ring(self, threads: Iterable[Thread]) -> None:
        for thread in threads:
            for bell in self._bells.get(thread, ()):
                bell.set()


async def _threads(line: Line, conversation_ids: Collection[int]) -> list[tuple[int, Thread]]:
    """Conversation's number and thread of each."""
    columns = (col(Conversation.id), col(Conversation.channel_id), col(Conversation.thread_key))
    query = select(*columns).where(col(Conversation.id).in_(conversation_ids))
    async with line.database.read() as session:
        return [
            (number or 0, Thread(channel_id, key)) for number, channel_id, key in (await session.execute(query)).all()
        ]
