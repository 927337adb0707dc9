"""What `socialcrm faq` does: measuring how right the FAQ's answers are, written for a terminal."""

import json
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from config.settings import Settings
from socialcrm.app import open_line
from socialcrm.domain.faq import Curve
from socialcrm.engine import faq
from socialcrm.engine.playbook import playbook
from socialcrm.migrate import migrate

SHOWN = 5
"""Every so many points of the curve are printed."""


async def measure(settings: Settings, console: Console, as_json: bool, file: Path | None) -> None:
    """Ask every labelled question, keep the figures and print them; `file` gets them in the form that is shipped."""
    async with open_line(settings) as line:
        await migrate(line.database)
        made = await faq.measure_now(line)
        async with line.database.read() as session:
            bar = (await playbook(session, line)).plan.faq_bar
        if file is not None:
            file.write_text(faq.as_file(line, made), encoding="utf-8")
    if as_json:
        sys.stdout.write(json.dumps(made.as_json(), ensure_ascii=False) + "\n")
    else:
        show(console, made, bar)


def show(console: Console, made: Curve, bar: float) -> None:
    """The curve as a table, and the score that holds the bar."""
    table = Table(box=box.SIMPLE, title=f"{made.asked} questions with an answer, {made.others} without one")
    for name in ("score", "answered", "right", "precision", "95 %", "of all questions"):
        table.add_column(name, justify="right")
    for point in made.points[::SHOWN]:
        low, high = point.interval or (0.0, 1.0)
        share = f"{point.precision:.1%}" if point.precision is not None else "-"
        values = (f"{point.score:.2f}", str(point.given), str(point.right), share, f"{low:.0%}-{high:.0%}")
        table.add_row(*values, f"{made.recall(point):.0%}")
    console.print(table)
    found = made.threshold(bar)
    if found is None:
        console.print(f"No score holds {bar:.0%}: the FAQ only answers in the very words of its phrases.")
        return
    console.print(f"From {found.score:.2f} on answers are right {found.precision:.1%} of the time (bar: {bar:.0%}).")
    for language, curve in made.by_language.items():
        point = curve.at(found.score)
        console.print(f"  {language}: {point.right} of {point.given} right, {curve.recall(point):.0%} answered")
