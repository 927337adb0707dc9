"""The `socialcrm` command."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from config.settings import Settings, SettingsError, load_settings
from socialcrm.app import open_line
from socialcrm.database import Database
from socialcrm.domain.engagement import EngagementError
from socialcrm.domain.people import Role
from socialcrm.migrate import migrate as run_migrations

app = typer.Typer(
    help="A self-hosted social CRM.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
model = typer.Typer(help="Judge, teach and roll back the model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(model, name="model")
rules = typer.Typer(help="Rules to and from a file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(rules, name="rules")
questions = typer.Typer(help="The frequently asked questions: how right their answers are.", no_args_is_help=True)
app.add_typer(questions, name="faq")
console = Console(stderr=True)
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file; socialcrm.toml when not given.")]
DatabaseOption = Annotated[
    str, typer.Option("--database", help="sqlite:///path or postgresql://…; wins over settings.")
]


@app.command()
def serve(
    config: ConfigOption = None,
    database: DatabaseOption = "",
    demo: Annotated[bool, typer.Option("--demo", help="Seed the demo company and play its stream.")] = False,
    port: Annotated[int | None, typer.Option(help="Wins over settings.")] = None,
) -> None:
    """Run everything: web pages, collecting, the line and delivery."""
    from socialcrm.serve import serve as run_server

    settings = _settings(config, database, demo=demo, port=port)
    _run(run_server(settings, console))


@app.command()
def work(config: ConfigOption = None, database: DatabaseOption = "") -> None:
    """Run the line and delivery without web pages; any number of these share one PostgreSQL database."""
    from socialcrm.serve import work as run_worker

    _run(run_worker(_settings(config, database), console))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV or JSONL, plain or gzipped.")],
    map: Annotated[
        str, typer.Option("--map", help="Columns: text=…,author=…,created=…,id=…,name=…,thread=…,kind=…")
    ] = "",
    speed: Annotated[float, typer.Option(help="Times real time; 0 = as fast as possible.", min=0)] = 0,
    answers: Annotated[Path | None, typer.Option(help="JSONL file that automatic answers are written to.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Run the line here until all rows are through.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Last line on stdout: the counts as JSON.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Play an archive through the line. Stopped anywhere, the next call goes on from there."""
    columns = _columns(map)
    settings = _settings(config, database)
    _run(_replay(settings, file, columns, speed, answers, wait, as_json))


@app.command()
def ledger(
    config: ConfigOption = None,
    database: DatabaseOption = "",
    replay_dead: Annotated[
        bool, typer.Option("--replay-dead", help="Let all dead letters wait for ingest again.")
    ] = False,
    dead: Annotated[bool, typer.Option("--dead", help="List the dead letters with their reasons.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Counts as JSON.")] = False,
) -> None:
    """Show that received = stored + duplicate + ignored + dead + waiting."""
    _run(_ledger(_settings(config, database), replay_dead, dead, as_json))


@app.command()
def migrate(config: ConfigOption = None, database: DatabaseOption = "") -> None:
    """Bring the database to the newest form."""

    async def run() -> None:
        async with _database(_settings(config, database)) as opened:
            before, after = await run_migrations(opened)
        typer.echo(
            f"The database is at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}."
        )

    _run(run())


@app.command("create-agent")
def create_agent(
    email: str,
    name: Annotated[str, typer.Option(help="As colleagues see it; the address when not given.")] = "",
    role: Annotated[Role, typer.Option()] = Role.AGENT,
    team: Annotated[str, typer.Option(help="Key of a team; made when there is none.")] = "support",
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="SOCIALCRM_PASSWORD")
    ] = "",
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Make somebody who can sign in, or give them a new password, role and team."""
    from socialcrm.people import PersonError, save_agent

    async def run() -> None:
        async with _database(_settings(config, database)) as opened:
            await run_migrations(opened)
            try:
                is_new = await save_agent(opened, email=email, name=name, role=role, team=team, password=password)
            except PersonError as error:
                _fail(str(error))
        typer.echo(f"{email} {'can sign in now' if is_new else 'has been changed'} ({role.value}, team {team}).")

    _run(run())


@model.command("evaluate")
def model_evaluate(
    days: Annotated[int, typer.Option(help="What people said in so many days; 0 = ever.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """How often the model is right, by what people corrected and confirmed; the blind sample is the one to believe."""
    from socialcrm import teach

    _run(teach.evaluate(_settings(config, database), days, as_json))


@model.command("train")
def model_train(
    from_corrections: Annotated[
        bool, typer.Option("--from-corrections", help="Learn from what people corrected and confirmed.")
    ] = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show what would come of it and change nothing.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Refit the model; the new version goes live only if it is better on corrections that it has not seen."""
    from socialcrm import teach

    if not from_corrections:
        _fail("Say what to learn from: socialcrm model train --from-corrections")
    _run(teach.train(_settings(config, database), is_dry, console))


@model.command("list")
def model_list(
    as_json: Annotated[bool, typer.Option("--json", help="With all figures, as JSON.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Every version of the model, newest first."""
    from socialcrm import teach

    _run(teach.versions(_settings(config, database), as_json))


@model.command("rollback")
def model_rollback(config: ConfigOption = None, database: DatabaseOption = "") -> None:
    """Go back to what the live version took over from."""
    from socialcrm import teach

    _run(teach.rollback(_settings(config, database)))


@questions.command("measure")
def faq_measure(
    config: ConfigOption = None,
    database: DatabaseOption = "",
    file: Annotated[Path | None, typer.Option(help="Write the figures into this file too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the FAQ every labelled question; how often its answer is right, by the least score."""
    from socialcrm import faq_figures

    _run(faq_figures.measure(_settings(config, database), Console(), as_json, file))


@rules.command("export")
def rules_export(
    file: Annotated[Path | None, typer.Argument(help="Where to; the screen when not given.")] = None,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Write all rules as TOML."""
    from socialcrm.rule_commands import export_rules

    _run(export_rules(_settings(config, database), file))


@rules.command("import")
def rules_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="TOML, as `rules export` writes it.")],
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Check the file and change nothing.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Take rules from a file: one of the same name is changed, the others are added; all or none."""
    from socialcrm.domain.rulebook import RuleError
    from socialcrm.rule_commands import import_rules

    try:
        _run(import_rules(_settings(config, database), file, is_dry))
    except RuleError as error:
        _fail(str(error))


@app.command("rotate-key")
def rotate_key(
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Forget the old key, a minute after the new one was made.")
    ] = False,
    config: ConfigOption = None,
    database: DatabaseOption = "",
) -> None:
    """Encrypt all credentials with a new key. Servers may run; stopped anywhere, the next call goes on from there."""
    from socialcrm.rotate import rotate
    from socialcrm.secrets import KEY_FILE, KeyInUse

    async def run() -> None:
        settings = _settings(config, database)
        async with _database(settings) as opened:
            await run_migrations(opened)
            try:
                done = await rotate(opened, settings.storage.folder, forget_old=drop_old)
            except KeyInUse as error:
                _fail(str(error))
        for name in done.lost:
            typer.echo(f"Channel {name}: no key opens its credentials. They were left alone: connect it.", err=True)
        what = "A new key was made. " if done.is_new else ""
        typer.echo(f"{what}{done.changed} credentials were encrypted anew.")
        if drop_old:
            typer.echo("The old key is forgotten." if done.is_old_forgotten else "There was no old key to forget.")
        else:
            typer.echo(
                f"The old key is kept in {KEY_FILE} as well. Back the file up, and in a minute: rotate-key --drop-old"
            )

    _run(run())


@app.command("new-connector")
def new_connector(
    name: Annotated[str, typer.Argument(help="In code and addresses, like bulletin_board.")],
    label: Annotated[str, typer.Option(help="As people read it; made from the name when not given.")] = "",
) -> None:
    """Write a connector to start from into the source tree here, with tests and page, all of which pass at once."""
    from socialcrm.scaffold import CannotMake, make

    try:
        written = make(Path.cwd(), name, label)
    except CannotMake as error:
        _fail(str(error))
    for path in written:
        typer.echo(path)
    typer.echo(f"Next: python -m pytest tests/connectors/test_{name}.py, then docs/write-a-connector.md.")


@app.command()
def doctor(config: ConfigOption = None, database: DatabaseOption = "") -> None:
    """Name whatever is wrong, one sentence each; exit code 1 when something is."""
    from socialcrm.doctor import examine

    async def run() -> None:
        table = Table(show_header=False, box=None, padding=(0, 1))
        is_well = True
        async for finding in examine(_settings(config, database)):
            is_well = is_well and finding.is_well
            table.add_row("[green]ok[/]" if finding.is_well else "[red]bad[/]", finding.what, finding.sentence)
        Console().print(table)
        if not is_well:
            raise typer.Exit(1)

    _run(run())


async def _replay(
    settings: Settings,
    file: Path,
    columns: dict[str, str],
    speed: float,
    answers: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    from socialcrm.engine import replay as engine

    started = time.monotonic()
    options: dict[str, Any] = {"map": columns} if columns else {}
    if speed:
        options["is_sorted"] = True
    if answers:
        options["journal"] = str(answers.resolve())
    async with open_line(settings) as line:
        await run_migrations(line.database)
        channel = await engine.open_channel(line, file, options)
        with _progress() as progress:
            reading = progress.add_task("reading", total=None)
            taking = progress.add_task("through the line", total=None, visible=wait)

            def on_rows(number: int) -> None:
                progress.advance(reading, number)

            def on_counts(found: engine.ReplayCounts) -> None:
                settled = found.duplicate + found.ignored + found.dead + found.triaged
                progress.update(taking, total=found.received, completed=settled)

            if wait:
                async with engine.running(line):
                    await engine.load(line, channel, speed, on_rows)
                    await engine.wait_until_done(line, channel, None if progress.disable else on_counts)
            else:
                await engine.load(line, channel, speed, on_rows)
        found = await engine.counts(line, channel)
        await engine.finish(line, channel)
    result = {**asdict(found), "seconds": round(time.monotonic() - started, 3)}
    if as_json:
        print(json.dumps(result))
    else:
        typer.echo(", ".join(f"{key} {value:,}" for key, value in result.items()))


async def _ledger(settings: Settings, replay_dead: bool, dead: bool, as_json: bool) -> None:
    from socialcrm.engine import ledger as engine

    async with _database(settings) as database:
        await run_migrations(database)
        if replay_dead:
            async with database.write() as session:
                number = await engine.replay_dead(session)
            typer.echo(f"{number} dead letters wait for ingest again.", err=True)
        rows = await engine.counts_by_channel(database)
        letters = await engine.dead_letters(database) if dead else []
    total = rows["all channels"]
    if as_json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}, ensure_ascii=False))
    else:
        table = Table("channel", box=box.SIMPLE, padding=(0, 1, 0, 0))
        for name in ("received", "stored", "duplicate", "ignored", "dead", "waiting", "balanced"):
            table.add_column(name, justify="right")
        for name, row in rows.items():
            table.add_row(name, *(f"{v:,}" for v in asdict(row).values()), "yes" if row.is_balanced else "NO")
        Console().print(table)
        for letter in letters:
            typer.echo(f"event {letter.id}: {letter.reason}")
    if not total.is_balanced:
        raise typer.Exit(1)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url)
    try:
        yield database
    finally:
        await database.close()


def _settings(config: Path | None, database: str, *, demo: bool = False, port: int | None = None) -> Settings:
    logging.basicConfig(
        level=os.environ.get("SOCIALCRM_LOG", "INFO").upper(),
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False)],
    )
    for name in ("apscheduler", "httpx", "alembic", "aiohttp.access", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        settings = load_settings(config)
    except SettingsError as error:
        _fail(str(error))
    if database:
        storage = settings.storage.model_copy(update={"database": database})
        settings = settings.model_copy(update={"storage": storage})
    if demo:
        settings = settings.model_copy(update={"demo": settings.demo.model_copy(update={"is_on": True})})
    if port is not None:
        settings = settings.model_copy(update={"web": settings.web.model_copy(update={"port": port})})
    return settings


def _columns(text: str) -> dict[str, str]:
    from connectors.replay import COLUMNS

    columns = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    wrong = [part for part in text.split(",") if part and "=" not in part] + [c for c in columns if c not in COLUMNS]
    if wrong:
        _fail(f"--map: {wrong[0]!r} is not WORD=COLUMN; the words are {', '.join(COLUMNS)}.")
    return columns


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not sys.stderr.isatty(),
    )


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (EngagementError, ValueError, OSError) as error:
        _fail(str(error))
    except DBAPIError as error:
        _fail(f"The database does not do what it should: {error.orig}")


def _fail(sentence: str) -> Any:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
