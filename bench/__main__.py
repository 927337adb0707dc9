"""python -m bench [NAME…]: run all measurements, or the named ones."""

import asyncio
import importlib
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAMES = ("nlp", "topics", "line", "growth", "webhook", "start", "suggest", "routing", "rules", "sla")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NAMES:
        rows = asyncio.run(importlib.import_module(f"bench.{name}").measure())
        table = Table(*rows[0], title=name, title_justify="left")
        for row in rows:
            table.add_row(*(f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        (RESULTS / f"{name}.json").write_text(json.dumps({"at": stamp, "rows": rows}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
