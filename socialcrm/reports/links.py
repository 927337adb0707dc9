"""What opens the rows behind a figure: one place for table, chart and headline."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from socialcrm.reports.filters import SENTIMENTS, Filters
from socialcrm.reports.tables import Table

UNDER = "/reports/"
PARTS = {"csat_agents": "agent", "csat_teams": "team", "csat_channels": "channel"}


def link(table: Table, row: Mapping[str, Any], key: str, filters: Filters) -> str:
    """The address of the rows that the cell `key` of a row counts; empty where it counts nothing."""
    if not row.get(key):
        return ""
    day = row.get("day")
    at = filters.on(day) if isinstance(day, date) else filters
    match table.name, key:
        case (("volume" | "sentiment" | "complaints"), "total"):
            return messages(at)
        case "volume", _ if key.startswith("channel_"):
            return messages(at, channel=key.removeprefix("channel_"))
        case "sentiment", _ if key in SENTIMENTS:
            return messages(at, sentiment=key)
        case "complaints", "complaints" | "unsure":
            return messages(at, complaint="yes" if key == "complaints" else "unsure")
        case "languages", "count":
            return messages(at, language=row["language"])
        case "answers", "count":
            return answers(at)
        case _, ("sent" | "answered"):
            part = {PARTS[table.name]: row["id"] or 0} if table.name in PARTS else {}
            return surveys(at, **part, answered="" if key == "sent" else "yes")
    return ""


def messages(filters: Filters, **more: object) -> str:
    """The address of incoming messages."""
    return f"{UNDER}messages?{filters.query(**more)}"


def surveys(filters: Filters, **more: object) -> str:
    """The address of surveys."""
    return f"{UNDER}surveys?{filters.query(**more)}"


def answers(filters: Filters) -> str:
    """The address of first answers."""
    return f"{UNDER}answers?{filters.query()}"
