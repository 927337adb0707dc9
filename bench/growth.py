"""How cost grows: the same batch through the line with ten times the rows already there, and a page of the queue."""

from typing import Any

from bench.line import through
from bench.place import kinds, opened

BATCH, AUTHORS = 500, 500


async def measure() -> list[dict[str, Any]]:
    """Messages per second of the same batch after 1,000 and after 10,000 messages; the ratio should stay near 1."""
    rows = []
    for kind in await kinds():
        async with opened(kind) as line:
            await through(line, 1_000, AUTHORS)
            small = await through(line, BATCH, AUTHORS, start=1_000)
            await through(line, 8_500, 5_000, start=1_500)
            large = await through(line, BATCH, AUTHORS, start=10_000)
        ratio = large["messages/s"] / small["messages/s"]
        rows.append(
            {
                "database": kind,
                "messages/s after 1,000": small["messages/s"],
                "messages/s after 10,000": large["messages/s"],
                "ratio": round(ratio, 2),
            }
        )
    return rows
