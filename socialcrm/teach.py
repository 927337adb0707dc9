"""What `socialcrm model` does: judging, training and rolling back, written for a terminal."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.settings import Settings
from socialcrm.app import open_line
from socialcrm.database import Database
from socialcrm.domain.teaching import LABELS, Source, VersionStatus
from socialcrm.engine import train as engine
from socialcrm.engine.line import utc_now
from socialcrm.engine.train import TOTAL, CannotTrain, Comparison, Verdict
from socialcrm.migrate import migrate
from socialcrm.reports.accuracy import DIMENSIONS, Accuracy, Group, Tally, accuracy

TITLES = {
    Source.SAMPLE: "Blind sample: random messages, judged without seeing the analysis",
    Source.INBOX: "Inbox: what agents corrected or confirmed, mostly where the model was wrong",
}
STEPS = {
    "reading": "reading the held-out corrections with the model in use",
    "learning": "learning",
    "comparing": "reading them with the new one",
    "deciding": "deciding",
}


async def evaluate(settings: Settings, days: int, as_json: bool) -> None:
    """Print the accuracy of the blind sample and of the inbox."""
    since = utc_now() - timedelta(days=days) if days else None
    async with _database(settings) as database, database.read() as session:
        found = await accuracy(session, since)
    if as_json:
        _print_json({source.value: made.figures() for source, made in found.items()})
        return
    for source in (Source.SAMPLE, Source.INBOX):
        _show(Console(), TITLES[source], found[source])


async def train(settings: Settings, is_dry: bool, console: Console) -> None:
    """Train and print what came of it."""
    async with open_line(settings) as line:
        await migrate(line.database)
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not sys.stderr.isatty(),
        ) as progress:
            task = progress.add_task("collecting corrections", total=None)
            try:
                verdict = await engine.train(
                    line, is_dry=is_dry, on_step=lambda step: progress.update(task, description=STEPS[step])
                )
            except CannotTrain as error:
                raise ValueError(str(error)) from error
    Console().print(_comparison(verdict))
    sys.stdout.write(conclusion(verdict) + "\n")


async def versions(settings: Settings, as_json: bool) -> None:
    """Print every version."""
    async with _database(settings) as database, database.read() as session:
        rows = await engine.versions(session)
    if as_json:
        _print_json([{**row.model_dump(mode="json"), "made_by": name} for row, name in rows])
        return
    table = Table("version", "status", "made", "by", "held out", "right before", "right after", box=box.SIMPLE)
    for row, name in rows:
        total = row.figures["fields"][TOTAL]
        table.add_row(
            str(row.id),
            row.status,
            f"{row.made_at:%Y-%m-%d %H:%M}",
            name or "command line",
            str(total["count"]),
            _percent(total["old"], total["count"]),
            _percent(total["new"], total["count"]),
        )
    if rows:
        Console().print(table)
    live = next((row.id for row, _ in rows if row.status == VersionStatus.LIVE), None)
    sys.stdout.write(f"Version {live} is live.\n" if live else "The shipped model is live.\n")


async def rollback(settings: Settings) -> None:
    """Go back by one version."""
    async with open_line(settings) as line:
        await migrate(line.database)
        try:
            before = await engine.rollback(line)
        except CannotTrain as error:
            raise ValueError(str(error)) from error
    sys.stdout.write(f"Version {before.id} is live again.\n" if before else "The shipped model is live again.\n")


def conclusion(verdict: Verdict) -> str:
    """What became of a training, in a sentence or two."""
    total = verdict.comparisons[TOTAL]
    said = (
        f"On {total.count} held-out corrections the new model is right {total.new} times, the one in use {total.old} "
        f"(p = {total.p:.3f})."
    )
    if verdict.left_out:
        said += f" Corrections of {' and '.join(verdict.left_out)} were left out, for another model fills that."
    if verdict.worse:
        return f"{said} It is significantly worse at {', '.join(verdict.worse)}: it does not go live."
    if not verdict.is_better:
        return f"{said} That is not better: it does not go live."
    if verdict.is_dry:
        return f"{said} It would go live."
    return f"{said} Version {verdict.version} is live."


def _show(console: Console, title: str, made: Accuracy) -> None:
    table = Table("", *LABELS, title=title, title_justify="left", box=box.SIMPLE)
    _add(table, "all", made.total)
    for dimension in DIMENSIONS:
        table.add_section()
        for group in made.groups.get(dimension, ()):
            _add(table, f"{dimension} {group.name}", group)
    console.print(table)
    if made.labels:
        table = Table("field", "label", "found", "right when said", box=box.SIMPLE)
        for row in made.labels:
            table.add_row(row.name, row.label, _cell(row.found), _cell(row.said))
        console.print(table)


def _add(table: Table, name: str, group: Group) -> None:
    table.add_row(name, *(_cell(group.fields[field]) for field in LABELS))


def _cell(tally: Tally) -> str:
    if not tally.count:
        return "–"
    if tally.share is None or tally.interval is None:
        return f"too few ({tally.count})"
    low, high = tally.interval
    return f"{tally.share:.0%} ({low:.0%}–{high:.0%}, n {tally.count})"


def _comparison(verdict: Verdict) -> Table:
    table = Table("field", "held out", "in use", "new", "only in use right", "only new right", "p", box=box.SIMPLE)
    for name, found in verdict.comparisons.items():
        table.add_row(name, *_counts(found))
    return table


def _counts(found: Comparison) -> tuple[str, ...]:
    if not found.count:
        return ("0", "–", "–", "–", "–", "–")
    shares = (_percent(found.old, found.count), _percent(found.new, found.count))
    return (str(found.count), *shares, str(found.only_old), str(found.only_new), f"{found.p:.3f}")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url)
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()
