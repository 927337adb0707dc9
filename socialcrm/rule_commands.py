"""`socialcrm rules`: rules to a file and back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from config.settings import Settings
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rule_file import read_file, write_file
from socialcrm.domain.rulebook import RuleError
from socialcrm.engine import rulebook
from socialcrm.engine.line import Line
from socialcrm.migrate import migrate


class Undone(Exception):
    """A dry run ends without a change."""


async def export_rules(settings: Settings, file: Path | None) -> None:
    """Write all rules to a file, or to the screen."""
    async with _opened(settings) as line:
        await rulebook.ensure(line)
        async with line.database.read() as session:
            rows = await rulebook.rules(session)
    text = write_file([rulebook.body_of(row) for row in rows])
    if file is None:
        typer.echo(text, nl=False)
        return
    file.write_text(text, encoding="utf-8")
    typer.echo(f"{len(rows)} rules were written to {file}.", err=True)


async def import_rules(settings: Settings, file: Path, is_dry: bool) -> None:
    """Take the rules of a file, or only check whether they could be. Raises RuleError."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RuleError(f"{file} is no text in UTF-8.") from error
    bodies = read_file(text, str(file))
    async with _opened(settings) as line:
        await rulebook.ensure(line)
        try:
            async with line.database.write() as session:
                added, changed = await rulebook.import_rules(session, line, bodies, None)
                if is_dry:
                    raise Undone
        except Undone:
            typer.echo(f"The file is right: {added} rules would be added and {changed} changed.")
            return
    typer.echo(f"{added} rules were added and {changed} changed.")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Line]:
    """The line without its models: no text is read here."""
    async with open_line(settings, pipeline=Pipeline(())) as line:
        await migrate(line.database)
        yield line
