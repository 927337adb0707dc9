"""Engines and sessions: one code for SQLite (embedded) and PostgreSQL (scale-out)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ARRAY, ColumnElement, Connection, Select, String, event, func, insert, literal, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from socialcrm import sqlite

DRIVERS = {
    "sqlite": sqlite.NAME,
    "sqlite+aiosqlite": sqlite.NAME,
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
BUSY_SECONDS = 30


class Reading(Session):
    """A session without a transaction: what it wrote nobody could take back, so it writes nothing."""

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Raise RuntimeError where rows were changed or added."""
        if self.new or self.deleted or any(self.is_modified(row) for row in self.dirty):
            raise RuntimeError("a session that only reads was asked to write: use Database.write()")


class Database:
    """Hands out sessions. A writing session holds SQLite's one write lock from its start, so that it never has to be
    given up half-way; on PostgreSQL it is an ordinary transaction."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:  # without the address in it: it may hold a password
            raise ValueError("storage.database is not an address like sqlite:///path or postgresql://…") from None
        if parsed.drivername not in DRIVERS and parsed.drivername not in DRIVERS.values():
            raise ValueError(
                f"storage.database should start with sqlite:/// or postgresql://; it is {parsed.drivername}://"
            )
        parsed = parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))
        self.url = parsed
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine: AsyncEngine = create_async_engine(parsed, **_options(self.is_sqlite))
        self._writing = self.engine.execution_options(is_writing=True)
        self._reading = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turn = asyncio.Lock()
        self.before_commit: list[Callable[[AsyncSession], Awaitable[None]]] = []
        """Called at the end of each writing transaction, with what it left in `session.info`."""
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _on_sqlite_connect)
            event.listen(self.engine.sync_engine, "begin", _on_sqlite_begin)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One transaction that may write: committed at the end of the block, rolled back by an exception."""
        async with AsyncExitStack() as stack:
            if self.is_sqlite:
                await stack.enter_async_context(self._turn)
            session = await stack.enter_async_context(AsyncSession(self._writing, expire_on_commit=False))
            await stack.enter_async_context(session.begin())
            yield session
            for hook in self.before_commit:
                await hook(session)

    @asynccontextmanager
    async def savepoint(self, session: AsyncSession) -> AsyncIterator[None]:
        """A part of a transaction that an exception undoes alone, with what it left in `session.info`."""
        info = {key: dict(value) for key, value in session.info.items()}
        try:
            async with session.begin_nested():
                yield
        except Exception:
            session.info.clear()
            session.info.update(info)
            raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads. Each statement sees what is committed when it starts, and none of them costs a
        transaction's begin and end."""
        async with AsyncSession(self._reading, sync_session_class=Reading, expire_on_commit=False) as session:
            yield session

    async def has(self, query: Select[Any]) -> bool:
        """Whether a query finds anything: what a step asks before it takes a lock."""
        async with self.read() as session:
            return (await session.execute(query.limit(1))).first() is not None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection in a transaction, for migrations."""
        async with self._writing.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()


def one_of(session: AsyncSession, column: Any, values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column is one of many texts. On PostgreSQL as one array: a list of hundreds of parameters is compared
    one by one with every row of a table whose statistics are not there yet."""
    if session.get_bind().dialect.name == "postgresql":
        return cast("ColumnElement[bool]", column == func.any(literal(list(values), ARRAY(String))))
    return cast("ColumnElement[bool]", column.in_(list(values)))


async def insert_rows(session: AsyncSession, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows at once, with the defaults of their model: some ten times quicker than adding objects."""
    if rows:
        defaults = _defaults(table)
        await session.execute(insert(table), [{**defaults, **row} for row in rows])


async def insert_numbered(session: AsyncSession, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The same, for rows whose numbers are needed; the numbers in the order of the rows."""
    if not rows:
        return []
    defaults = _defaults(table)
    number: Any = table.__table__.c.id  # type: ignore[attr-defined]
    statement = insert(table).returning(number, sort_by_parameter_order=True)
    result = await session.execute(statement, [{**defaults, **row} for row in rows])
    return list(result.scalars())


async def update_rows(session: AsyncSession, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the given columns of many rows, each named by its `id`; rows with other columns go in another statement."""
    groups: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(frozenset(row), []).append(row)
    for group in groups.values():
        await session.execute(update(table), [dict(row) for row in group])


@cache
def _defaults(table: type[SQLModel]) -> dict[str, Any]:
    return {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in table.model_fields.items()
        if not field.is_required() and name != "id"
    }


def _options(is_sqlite: bool) -> dict[str, Any]:
    if is_sqlite:
        return {"connect_args": {"timeout": BUSY_SECONDS}, "pool_size": 8, "max_overflow": 16}
    return {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own would come too late for reads
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-32000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote in between (SQLITE_BUSY,
    # https://sqlite.org/isolation.html); one that starts as a writer waits its turn.
    if connection.get_execution_options().get("is_writing"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
