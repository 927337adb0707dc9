"""A period: whole days of the company's time zone, and how SQL puts a time into its day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Integer, and_, case, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

MAX_DAYS = 731
EPOCH = date(1970, 1, 1)
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Period:
    """From the start of `first` to the end of `last`, both included, by the clocks in `zone`."""

    first: date
    last: date
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("a period ends before it starts")
        if (self.last - self.first).days >= MAX_DAYS:
            raise ValueError(f"a period has at most {MAX_DAYS} days")

    @classmethod
    def last_days(cls, count: int, now: datetime, zone: ZoneInfo) -> "Period":
        """The `count` days that end today."""
        today = now.astimezone(zone).date()
        return cls(today - timedelta(days=count - 1), today, zone)

    @property
    def starts_at(self) -> datetime:
        """First instant of the period, aware UTC."""
        return midnight(self.first, self.zone)

    @property
    def ends_at(self) -> datetime:
        """First instant after the period, aware UTC."""
        return midnight(self.last + timedelta(days=1), self.zone)

    def days(self) -> Iterator[date]:
        """Every day of the period, so that one on which nothing happened is shown as zero."""
        day = self.first
        while day <= self.last:
            yield day
            day += timedelta(days=1)

    def holds(self, column: Any) -> ColumnElement[bool]:
        """The condition that a column of times lies in the period; a range, so an index on the column serves it."""
        return and_(column >= self.starts_at, column < self.ends_at)

    def day_number(self, column: Any) -> ColumnElement[int]:
        """The local day of a column of times, counted from 1970-01-01; see `day_of`.

        The clocks' distance from UTC is constant between two changes of it, and the changes are found here, so the
        database needs no time zones and both databases compute the same.
        """
        pieces = list(self._offsets())
        offset: ColumnElement[int] = literal(pieces[-1][1], Integer)
        if len(pieces) > 1:
            offset = case(*((column < ends_at, seconds) for ends_at, seconds in pieces[:-1]), else_=pieces[-1][1])
        return (epoch_seconds(column) + offset) // DAY_SECONDS

    def _offsets(self) -> Iterator[tuple[datetime, int]]:
        """Runs of one distance from UTC: when each ends and its seconds. A change is taken to happen on the hour of
        UTC, or a quarter of it, as all of today's zones do."""
        at, end = self.starts_at, self.ends_at
        while at < end:
            seconds = _offset(at, self.zone)
            next_at = at
            while next_at < end and _offset(next_at, self.zone) == seconds:
                next_at += timedelta(days=1)
            if next_at >= end and _offset(end, self.zone) == seconds:
                next_at = end
            else:
                next_at -= timedelta(days=1)
                while next_at < end and _offset(next_at, self.zone) == seconds:
                    next_at += timedelta(minutes=15)
            yield min(next_at, end), seconds
            at = next_at


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, aware UTC; where the clocks skip midnight, the instant they skip to.

    `fold=0` reads a time that does not exist with the distance from before the change, which is that instant
    (PEP 495), and a midnight that comes twice as the first.
    """
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def day_of(number: int) -> date:
    """The day with this number."""
    return EPOCH + timedelta(days=int(number))


class epoch_seconds(FunctionElement[int]):
    """Whole seconds since 1970 of a column of UTC times."""

    type = Integer()
    inherit_cache = True


@compiles(epoch_seconds, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # Without the fraction: SQLite's clock has milliseconds and would round 23:59:59.9996 into the next day.
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER)"


@compiles(epoch_seconds, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)})) AS BIGINT)"


def _offset(at: datetime, zone: ZoneInfo) -> int:
    found = at.astimezone(zone).utcoffset()
    return int(found.total_seconds()) if found is not None else 0
