"""The command as people type it: what it does, and one clear sentence when it cannot."""

import asyncio
import json
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from typer.testing import CliRunner

from connectors.base import RawEvent
from socialcrm import doctor
from socialcrm.cli import app
from socialcrm.database import Database
from socialcrm.domain.rows import Agent, Channel, OutboxItem, RawEventRow, Team, TeamMember
from socialcrm.engine import ledger
from socialcrm.engine.line import utc_now
from socialcrm.secrets import Vault
from tests.conftest import POSTGRES, Pool

NOT_THERE = f"{POSTGRES.rpartition('/')[0]}/socialcrm_not_there"

COMMANDS = ("serve", "work", "replay", "ledger", "migrate", "create-agent", "rotate-key", "new-connector", "doctor")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "400")
    level, handlers = logging.root.level, logging.root.handlers[:]
    yield
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


class Here:
    """An installation in a folder of its own."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.file = folder / "data" / "socialcrm.db"
        self.file.parent.mkdir()
        shutil.copy(template, self.file)
        self.url = f"sqlite:///{self.file}"

    def run(self, *arguments: str, input: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(app, list(arguments), input=input, env=environment)

    def change(self, what: Callable[[AsyncSession], Awaitable[object]]) -> None:
        async def run() -> None:
            database = Database(self.url)
            async with database.write() as session:
                await what(session)
            await database.close()

        asyncio.run(run())

    def rows(self, table: type) -> list[object]:
        found: list[object] = []

        async def read(session: AsyncSession) -> None:
            found.extend((await session.execute(select(table))).scalars())

        self.change(read)
        return found

    def channel(self, **values: object) -> None:
        async def add(session: AsyncSession) -> None:
            now = utc_now()
            session.add(
                Channel(**{"connector": "echo", "key": "e", "name": "Shop", **values}, created_at=now, changed_at=now)
            )

        self.change(add)


@pytest.fixture
def here(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, sqlite_template)


def test_help_names_every_command_and_what_it_is_for(here: Here) -> None:
    for result in (here.run("--help"), here.run()):
        for command in COMMANDS:
            assert f"{command}  " in result.stdout + result.stderr
    for command in COMMANDS:
        said = here.run(command, "--help")
        assert (said.exit_code, said.stdout.count("Usage:")) == (0, 1)
    assert here.run("sreve").exit_code == 2


def test_migrate_makes_the_rows_and_does_nothing_the_second_time(here: Here) -> None:
    here.file.unlink()
    first, second = here.run("migrate"), here.run("migrate")
    assert first.stdout.startswith("Migrated from nothing to ")
    assert second.stdout.startswith("The database is at ")
    with sqlite3.connect(here.file) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert {"message", "outbox_item", "raw_event"} <= tables


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--database", "mysql://localhost/crm"], "storage.database should start with sqlite:/// or postgresql://"),
        (["--database", "what is this"], "storage.database"),
        (["--database", "postgresql://nobody@127.0.0.1:1/crm"], "Connect call failed"),
        (["--config", "gone.toml"], "gone.toml does not exist"),
        (["--config", "broken.toml"], "broken.toml is not valid TOML"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence_and_no_traceback(here: Here, arguments: list[str], said: str) -> None:
    Path("broken.toml").write_text("[web", encoding="utf-8")
    result = here.run("migrate", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_database_that_does_not_exist_is_named(here: Here, postgres_databases: Pool) -> None:
    result = here.run("migrate", "--database", NOT_THERE)
    assert (result.exit_code, "does not exist" in result.stderr) == (2, True)
    result = here.run(
        "migrate", "--database", POSTGRES.replace("postgres@", "nobody_at_all@").replace("postgres:", "nobody_at_all:")
    )
    assert result.exit_code == 2
    assert "nobody_at_all" in result.stderr


def test_somebody_who_can_sign_in_is_made_and_changed(here: Here) -> None:
    made = here.run("create-agent", "Amina@Example.com", "--name", "Amina", "--password", "long enough")
    assert (made.exit_code, made.stdout) == (0, "Amina@Example.com can sign in now (agent, team support).\n")
    [agent] = here.rows(Agent)
    assert isinstance(agent, Agent)
    assert (agent.email, agent.name, agent.role) == ("amina@example.com", "Amina", "agent")

    async def speaks(session: AsyncSession) -> None:
        await session.execute(update(Agent).values(languages=["fr"], locale="ar", failed_count=5, is_active=False))

    here.change(speaks)
    changed = here.run(
        "create-agent", "amina@example.com", "--role", "admin", "--team", "technique", SOCIALCRM_PASSWORD="another one"
    )
    assert changed.stdout == "amina@example.com has been changed (admin, team technique).\n"
    [after] = here.rows(Agent)
    assert isinstance(after, Agent)
    assert (after.name, after.role, after.languages, after.locale) == ("Amina", "admin", ["fr"], "ar")
    assert (after.failed_count, after.is_active) == (0, True)
    assert after.password_hash != agent.password_hash
    teams = {team.id: team.key for team in here.rows(Team) if isinstance(team, Team)}
    assert [teams[m.team_id] for m in here.rows(TeamMember) if isinstance(m, TeamMember)] == ["technique"]


def test_a_password_is_asked_for_twice_and_not_shown(here: Here) -> None:
    result = here.run("create-agent", "a@example.com", input="long enough\nlong enuogh\nlong enough\nlong enough\n")
    assert result.exit_code == 0
    assert "long enough" not in result.output
    assert len(here.rows(Agent)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["not an address", "--password", "long enough"], "'not an address' is not an e-mail address."),
        (["a@b", "--password", "long enough"], "'a@b' is not an e-mail address."),
        (["a@b.example", "--password", "short"], "The password should have at least 8 characters."),
        (["a@b.example", "--password", "long enough", "--role", "boss"], "'boss' is not one of"),
    ],
)
def test_what_is_wrong_with_somebody_is_said_and_nobody_is_made(here: Here, arguments: list[str], said: str) -> None:
    result = here.run("create-agent", *arguments)
    assert (result.exit_code, said in result.stderr) == (2, True)
    assert here.rows(Agent) == []


async def _events(session: AsyncSession) -> None:
    await ledger.append(session, 1, [RawEvent({"id": "1", "author": "a"}), RawEvent(7)], utc_now())
    bad = update(RawEventRow).where(col(RawEventRow.id) == 2)
    await session.execute(bad.values(fate="dead", reason="An echo event is a JSON object."))


def test_the_ledger_is_shown_for_people_and_for_programs_and_replays_its_dead(here: Here) -> None:
    here.channel()
    here.change(_events)
    shown = here.run("ledger", "--dead")
    assert shown.exit_code == 0
    for part in ("Shop", "all channels", "yes", "event 2: An echo event is a JSON object."):
        assert part in shown.stdout
    found = json.loads(here.run("ledger", "--json").stdout)
    expected = {"received": 2, "stored": 0, "duplicate": 0, "ignored": 0, "dead": 1, "waiting": 1}
    assert found == {"Shop": expected, "all channels": expected}
    replayed = here.run("ledger", "--replay-dead", "--json")
    assert "1 dead letters wait for ingest again." in replayed.stderr
    assert json.loads(replayed.stdout)["all channels"] == {**expected, "dead": 0, "waiting": 2}


def test_a_ledger_that_does_not_balance_is_an_error(here: Here) -> None:
    here.channel()
    here.change(_events)
    with sqlite3.connect(here.file) as connection:
        connection.execute("UPDATE raw_event SET fate = 'lost' WHERE id = 1")
    connection.close()
    shown = here.run("ledger")
    assert (shown.exit_code, "NO" in shown.stdout) == (1, True)


def finding(here: Here, what: str) -> tuple[str, int]:
    """What the doctor says of one thing, and the exit code."""
    result = here.run("doctor")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    [line] = [line for line in result.stdout.splitlines() if f" {what} " in line[:40]]
    return line, result.exit_code


def test_the_doctor_finds_a_whole_installation_well(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.folder / "app.js").touch()
    monkeypatch.setattr(doctor, "STATIC", here.folder)
    here.run("create-agent", "a@example.com", "--role", "admin", "--password", "long enough")
    here.channel()
    result = here.run("doctor")
    assert (result.exit_code, "bad" in result.stdout) == (0, False)
    for what in ("folder", "assets", "rules", "models", "database", "ledger", "outbox", "people", "channel Shop"):
        assert what in result.stdout


def test_the_doctor_names_each_thing_that_is_wrong_in_the_files(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault.open(here.file.parent)
    (here.file.parent / "secret.key").chmod(0o644)
    monkeypatch.setattr(doctor, "STATIC", here.folder / "nowhere")
    Path("rules.toml").write_text("[[rules]]\nname = 'x'", encoding="utf-8")
    Path("models").mkdir()
    for name in ("language", "sentiment", "complaint", "intent"):
        Path("models", f"{name}.npz").write_bytes(b"not an archive")
    Path("socialcrm.toml").write_text("[engagement]\nrules = 'rules.toml'\n[understanding]\nmodels = 'models'", "utf-8")
    result = here.run("doctor")
    assert result.exit_code == 1
    for said in (
        "Others can read",
        "chmod 600",
        "Not built: run `make assets`",
        "rules.toml, rule 1",
        "cannot be loaded",
    ):
        assert said in result.stdout
    monkeypatch.setattr(doctor, "LEAST_SPACE", 10**18)
    (here.file.parent / "secret.key").chmod(0o600)
    assert "MB are free" in finding(here, "folder")[0]


def test_the_doctor_names_a_database_that_is_old_or_away(here: Here, postgres_databases: Pool) -> None:
    here.file.unlink()
    assert finding(here, "database") == (finding(here, "database")[0], 1)
    assert "Run `socialcrm migrate`" in finding(here, "database")[0]
    for url in ("postgresql://nobody@127.0.0.1:1/crm", NOT_THERE):
        Path("socialcrm.toml").write_text(f"[storage]\ndatabase = '{url}'", "utf-8")
        assert "cannot be reached" in finding(here, "database")[0]


def test_the_doctor_names_what_waits_for_people(here: Here) -> None:
    here.channel()
    here.change(_events)
    assert "Nobody is admin" in finding(here, "people")[0]
    assert "1 dead letters" in finding(here, "ledger")[0]
    with sqlite3.connect(here.file) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        values = {c.name: 1 for c in OutboxItem.__table__.columns} | {"status": "unknown", "payload": "{}"}  # type: ignore[attr-defined]
        values |= dict.fromkeys(("created_at", "due_at", "claimed_at", "sent_at"), "2026-01-01 00:00:00.000000")
        connection.execute(
            f"INSERT INTO outbox_item ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", [*values.values()]
        )
        connection.execute("UPDATE raw_event SET fate = 'lost'")
    connection.close()
    assert "1 messages may or may not have been sent" in finding(here, "outbox")[0]
    assert "Received is not stored" in finding(here, "ledger")[0]


@pytest.mark.parametrize(
    ("values", "word", "said"),
    [
        ({"status": "paused"}, "ok", "Paused by an admin."),
        ({"error": "Conflict"}, "bad", "Conflict"),
        ({"credentials": "of another key"}, "bad", "connect it again"),
        ({"connector": "pigeon"}, "bad", "no connector is called 'pigeon'"),
        ({"connector": "api"}, "bad", "secret"),
        ({"connector": "telegram"}, "bad", "token"),
    ],
)
def test_the_doctor_asks_each_channel(here: Here, values: dict[str, object], word: str, said: str) -> None:
    here.channel(**values)
    line, _ = finding(here, "channel Shop")
    assert line.strip().startswith(word)
    assert said.lower() in line.lower()
