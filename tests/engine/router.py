"""A process that gives out work and does nothing else: `python -m tests.engine.router DATABASE FOLDER`."""

import asyncio
import sys
from pathlib import Path

from config.settings import load_settings
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain import rows  # noqa: F401 - all tables, for their references
from socialcrm.engine.prioritize import prioritize
from socialcrm.engine.route import route


async def run(database: str, folder: str) -> None:
    """Route until the file `stop` is there; the file `ready` of each process says that it began."""
    place = Path(folder)
    settings = load_settings(storage={"folder": folder, "database": database}, line={"batch": 50})
    async with open_line(settings, pipeline=Pipeline(())) as line:
        print("at work", flush=True)
        while not (place / "stop").exists():
            if not await prioritize(line) + await route(line):
                await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2]))
