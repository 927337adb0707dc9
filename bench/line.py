"""Messages per second through the whole line, and where the time goes."""

import time
from typing import Any

from bench.place import events, kinds, opened
from socialcrm.engine import ledger
from socialcrm.engine.analyze import analyze
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.route import route
from socialcrm.engine.schedule import deliver_due
from socialcrm.engine.triage import triage

NUMBER, AUTHORS = 4000, 2000
STEPS = (ingest, analyze, triage, prioritize, route, deliver_due)


async def measure() -> list[dict[str, Any]]:
    """One row per database: messages per second in all, and each step's share of the time."""
    rows = []
    for kind in await kinds():
        async with opened(kind) as line:
            rows.append({"database": kind, **await through(line, NUMBER, AUTHORS)})
    return rows


async def through(line: Line, number: int, authors: int, start: int = 0) -> dict[str, Any]:
    """Append the events, then run each step until nothing waits for it."""
    spent: dict[str, float] = {}
    begin = time.perf_counter()
    async with line.database.write() as session:
        await ledger.append(session, 1, events(number, authors, start), utc_now())
    spent["ledger"] = time.perf_counter() - begin
    for step in STEPS:
        since = time.perf_counter()
        while await step(line):
            continue
        spent[step.__name__] = time.perf_counter() - since
    total = sum(spent.values())
    shares = {f"{name} %": round(100 * seconds / total, 1) for name, seconds in spent.items()}
    return {"messages": number, "seconds": round(total, 2), "messages/s": round(number / total), **shares}
