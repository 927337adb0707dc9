"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, Integer, Text, TypeDecorator, literal
from sqlalchemy.types import JSON
from sqlmodel import Field


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused as a mistake. SQLite keeps no zone: it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time was about to be stored; times here are aware UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BIG = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows only in a column that is called INTEGER."""


def empty_list() -> list[Any]:
    """A new list. As a default it is far quicker than `list`, whose signature pydantic parses each time."""
    return []


def empty_dict() -> dict[str, Any]:
    """A new dict, for the same reason."""
    return {}


def constant(word: str) -> ColumnElement[str]:
    """A word that stands in the SQL itself. PostgreSQL uses a partial index only when it knows while planning that the
    index's condition holds, which it does not of a parameter once it plans for any value."""
    return literal(str(word), literal_execute=True)


def key_column(**options: Any) -> Any:
    """The primary key of a table: a number that the database gives."""
    return Field(default=None, primary_key=True, sa_type=BIG, **options)


def ref_column(target: str, *, is_indexed: bool = False, **options: Any) -> Any:
    """A foreign key to `target` ("table.column")."""
    return Field(foreign_key=target, sa_type=BIG, index=is_indexed, **options)


def time_column(**options: Any) -> Any:
    """A column of aware UTC times."""
    return Field(sa_type=UtcDateTime, **options)


def text_column(**options: Any) -> Any:
    """A column of text without a length."""
    return Field(sa_type=Text, **options)


def json_column(**options: Any) -> Any:
    """A column of JSON."""
    return Field(sa_type=JSON, **options)
