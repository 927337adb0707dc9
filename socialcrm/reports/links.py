"""What opens the rows behind a figure: one place for table, chart and headline."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlencode

from socialcrm.reports.filters import SENTIMENTS, Filters
from socialcrm.reports.tables import Table

UNDER = "/reports/"
PARTS = {"csat_agents": "agent", "csat_teams": "team", "csat_channels": "channel"}

SLA_PARTS = {"sla_measures": "measure", "sla_teams": "team", "sla_channels": "channel"}


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
        case "cases", ("opened" | "closed" | "reopened"):
            return cases(at, key)
        case "case_causes", "closed":
            return cases(at, key, cause=row["key"])
        case "answers", "count":
            return answers(at)
        case (("sla" | "sla_measures" | "sla_teams" | "sla_channels"), ("started" | "met" | "broken" | "risk")):
            part = {SLA_PARTS[table.name]: row["id"] or 0} if table.name in SLA_PARTS else {}
            return promises(at, **part, state="" if key == "started" else key)
        case _, ("sent" | "answered"):
            part = {PARTS[table.name]: row["id"] or 0} if table.name in PARTS else {}
            return surveys(at, **part, answered="" if key == "sent" else "yes")
    return ""


def cases(filters: Filters, what: str, **more: object) -> str:
    """The address of complaints that were opened, closed or reopened in a period; of closed ones without duplicates."""
    first, last = filters.period.first.isoformat(), filters.period.last.isoformat()
    values = {
        "status": "closed" if what == "closed" else "all",
        f"{what}_from": first,
        f"{what}_to": last,
        "duplicates": "no" if what == "closed" else "",
        "channel": filters.channel_id,
        "team": filters.team_id,
        "language": filters.language,
        **more,
    }
    return f"/cases?{urlencode({name: value for name, value in values.items() if value not in (None, '')})}"


def messages(filters: Filters, **more: object) -> str:
    """The address of incoming messages."""
    return f"{UNDER}messages?{filters.query(**more)}"


def surveys(filters: Filters, **more: object) -> str:
    """The address of surveys."""
    return f"{UNDER}surveys?{filters.query(**more)}"


def answers(filters: Filters) -> str:
    """The address of first answers."""
    return f"{UNDER}answers?{filters.query()}"


def promises(filters: Filters, **more: object) -> str:
    """The address of promises."""
    return f"{UNDER}promises?{filters.query(**more)}"
