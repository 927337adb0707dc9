"""SQLAlchemy's adapter of aiosqlite with one visit to the connection's thread a statement, where there are four.

The adapter opens a cursor, executes, fetches and closes, each by a message to the thread and back; with the short
statements of this product the messages cost more than the statements. Here all four are one message. Threads stay: a
long statement never holds the event loop up. docs/decisions/0014-one-hop-a-statement.md has the figures.
"""

from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)

NAME = "sqlite+onehop"


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Holds what its last statement left; the real cursor lives only while the statement runs."""

    __slots__ = ()

    def _make_new_cursor(self, connection: Any) -> Any:
        return SimpleNamespace(description=None, rowcount=-1, lastrowid=None, arraysize=1)

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self._run("execute", operation, *([] if parameters is None else [parameters]))

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        await self._run("executemany", operation, seq_of_parameters)

    async def _run(self, method: str, *args: Any) -> None:
        connection: Any = self._connection

        def visit() -> tuple[Any, int, int | None, Sequence[Any]]:
            cursor = connection._conn.cursor()
            try:
                getattr(cursor, method)(*args)
                rows = cursor.fetchall() if cursor.description else ()
                return cursor.description, cursor.rowcount, cursor.lastrowid, rows
            finally:
                cursor.close()

        async with self._adapt_connection._execute_mutex:
            left: Any = self._cursor
            left.description, left.rowcount, left.lastrowid, rows = await connection._execute(visit)
            self._rows = deque(rows)

    async def _async_soft_close(self) -> None:
        pass

    def close(self) -> None:
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = _Cursor

    def rollback(self) -> None:
        connection: Any = self._connection._connection
        if connection and connection.in_transaction:
            super().rollback()


class _Module(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arg: Any, **kw: Any) -> _Connection:
        return _Connection(self, super().connect(*arg, **kw)._connection)


class Dialect(SQLiteDialect_aiosqlite):
    """SQLite by aiosqlite, one hop a statement."""

    driver = "onehop"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> _Module:
        return _Module(__import__("aiosqlite"), __import__("sqlite3"))


registry.register("sqlite.onehop", __name__, "Dialect")
