"""Live updates: a log of changes in the database and a bell that wakes who follows it.

The rows are the truth and their numbers the cursor, so a page that was away catches up exactly. The bell only makes it
quick inside one process; who follows from another process looks every second.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import Database, insert_rows
from socialcrm.domain.conversation import Change

LOCK = 0x50C1A1
CHANGES = "changes"
KEPT = timedelta(days=2)


class Live:
    """Publishes and follows changes."""

    def __init__(self, database: Database, look_seconds: float = 1.0) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._bell = asyncio.Event()
        database.before_commit.append(self._write)

    async def publish(self, session: AsyncSession, kind: str, conversation_ids: Iterable[int], now: datetime) -> None:
        """Log a change of each conversation when the session's transaction commits; `ring` after it."""
        changes: dict[tuple[str, int], datetime] = session.info.setdefault(CHANGES, {})
        for number in conversation_ids:
            changes[kind, number] = now

    async def _write(self, session: AsyncSession) -> None:
        """Write the changes of a transaction as the last thing in it.

        Numbers are given in the order of commits: SQLite has one writer, and on PostgreSQL whoever writes here holds a
        lock until the commit. Without it a reader could see number 8 before 7 and never come back for 7.
        """
        changes = session.info.pop(CHANGES, {})
        if not changes:
            return
        await session.flush()
        if session.get_bind().dialect.name == "postgresql":
            await session.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        rows = [{"conversation_id": number, "kind": kind, "at": at} for (kind, number), at in changes.items()]
        await insert_rows(session, Change, rows)

    async def tell(self, kind: str, conversation_id: int, now: datetime) -> None:
        """Let everybody who follows know of something that changes no row, as that somebody is typing."""
        async with self._database.write() as session:
            await self.publish(session, kind, [conversation_id], now)
        self.ring()

    def ring(self) -> None:
        """Wake everybody who follows."""
        self._bell.set()
        self._bell = asyncio.Event()

    @property
    def bell(self) -> asyncio.Event:
        """Set at the next ring: take it before looking, wait for it after finding nothing."""
        return self._bell

    async def cursor(self) -> int:
        """The number of the newest change."""
        async with self._database.read() as session:
            return (await session.scalar(select(func.max(Change.id)))) or 0

    async def follow(self, cursor: int) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes after `cursor`, for ever; an empty batch about every 15 seconds, as a sign of life."""
        idle = 0.0
        while True:
            bell = self._bell
            batch = await self.changes(cursor)
            if batch:
                cursor = batch[-1].id or cursor
            if batch or idle >= 15:
                idle = 0.0
                yield batch
                continue
            try:
                async with asyncio.timeout(self._look_seconds):  # wait_for can swallow a cancel before Python 3.12
                    await bell.wait()
            except TimeoutError:
                idle += self._look_seconds

    async def changes(self, cursor: int, limit: int = 500) -> Sequence[Change]:
        """The changes after `cursor`, oldest first."""
        query = select(Change).where(col(Change.id) > cursor).order_by(col(Change.id)).limit(limit)
        async with self._database.read() as session:
            return (await session.execute(query)).scalars().all()

    async def prune(self, now: datetime) -> None:
        """Forget changes that nobody can still be waiting for."""
        async with self._database.write() as session:
            await session.execute(delete(Change).where(col(Change.at) < now - KEPT))
