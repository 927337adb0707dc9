"""Weeks from Monday to Sunday, by the company's clocks."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, order=True)
class Week:
    """The week that starts on `monday`."""

    monday: date
    zone: ZoneInfo

    @classmethod
    def of(cls, at: datetime, zone: ZoneInfo) -> "Week":
        """The week in which an aware time lies."""
        day = at.astimezone(zone).date()
        return cls(day - timedelta(days=day.weekday()), zone)

    def before(self, count: int = 1) -> "Week":
        """The week so many weeks earlier."""
        return Week(self.monday - timedelta(weeks=count), self.zone)

    @property
    def key(self) -> str:
        """The week as ISO 8601 names it: 2026-W47."""
        year, number, _ = self.monday.isocalendar()
        return f"{year}-W{number:02}"

    @property
    def sunday(self) -> date:
        """Its last day."""
        return self.monday + timedelta(days=6)

    @property
    def starts_at(self) -> datetime:
        """Its first instant, aware UTC."""
        return datetime.combine(self.monday, time(), tzinfo=self.zone).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """The first instant after it, aware UTC."""
        return self.before(-1).starts_at
