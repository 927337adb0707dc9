"""Credentials at rest, and another key for them while servers run."""

import asyncio
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import select
from sqlmodel import col
from typer.testing import CliRunner

from config.settings import Settings
from socialcrm.cli import app
from socialcrm.domain.channel import Channel
from socialcrm.engine.line import Line
from socialcrm.secrets import KEY_FILE, SETTLE_SECONDS, KeyLost, Vault, add_key


async def rotate_key(settings: Settings, *options: str) -> Result:
    """`socialcrm rotate-key`, in a thread beside the line of the test as another process would be."""
    where = ["--database", settings.database_url, *options]
    environment = {"SOCIALCRM_STORAGE__FOLDER": str(settings.storage.folder)}
    return await asyncio.to_thread(CliRunner().invoke, app, ["rotate-key", *where], env=environment)


async def connect(line: Line, *names: str) -> None:
    """Channels, each with a token of its own."""
    async with line.database.write() as session:
        for name in names:
            session.add(channel(line, name, line.vault.encrypt({"token": f"token of {name}"})))


def channel(line: Line, name: str, credentials: str) -> Channel:
    now = line.now()
    return Channel(connector="echo", key=name, name=name, credentials=credentials, created_at=now, changed_at=now)


async def stored(line: Line) -> dict[str, str]:
    """What is stored of each channel."""
    async with line.database.read() as session:
        query = select(col(Channel.name), col(Channel.credentials)).order_by(col(Channel.id))
        return {name: credentials for name, credentials in (await session.execute(query)).all()}


def keys(settings: Settings) -> list[str]:
    return (settings.storage.folder / KEY_FILE).read_text().split()


def grow_old(settings: Settings) -> None:
    """As if the key had been made some time ago."""
    then = time.time() - SETTLE_SECONDS - 1
    os.utime(settings.storage.folder / KEY_FILE, (then, then))


def opened_with(folder: Path, kept: Sequence[str]) -> Vault:
    """A vault with these keys only."""
    folder.mkdir()
    (folder / KEY_FILE).write_text("\n".join(kept))
    return Vault.open(folder)


async def test_everything_is_encrypted_anew_while_a_server_runs_and_the_old_key_goes_last(
    line: Line, settings: Settings, tmp_path: Path
) -> None:
    await connect(line, "shop", "bank")
    [old], signing = keys(settings), line.vault.signing_key
    done = await rotate_key(settings)
    assert done.exit_code == 0, done.output
    assert "A new key was made. 2 credentials were encrypted anew." in done.stdout
    new = keys(settings)[0]
    assert keys(settings) == [new, old]
    assert stat.S_IMODE((settings.storage.folder / KEY_FILE).stat().st_mode) == 0o600
    assert line.vault.signing_key == signing, "addresses that were signed still hold"
    with_new_only = opened_with(tmp_path / "new", [new])
    for name, credentials in (await stored(line)).items():
        expected = {"token": f"token of {name}"}
        assert line.vault.decrypt(credentials) == with_new_only.decrypt(credentials) == expected
    await connect(line, "cafe")  # by the server that was running all the time
    assert with_new_only.decrypt((await stored(line))["cafe"]) == {"token": "token of cafe"}

    again = await rotate_key(settings)
    assert "0 credentials were encrypted anew" in again.stdout
    assert keys(settings) == [new, old], "one rotation at a time"
    early = await rotate_key(settings, "--drop-old")
    assert (early.exit_code, "ask again in" in early.stderr) == (2, True)
    grow_old(settings)
    dropped = await rotate_key(settings, "--drop-old")
    assert (dropped.exit_code, "The old key is forgotten." in dropped.stdout) == (0, True)
    assert keys(settings) == [new]
    assert line.vault.decrypt((await stored(line))["shop"]) == {"token": "token of shop"}
    assert "There was no old key to forget." in (await rotate_key(settings, "--drop-old")).stdout


async def test_a_rotation_that_was_stopped_half_way_goes_on(line: Line, settings: Settings, tmp_path: Path) -> None:
    await connect(line, "shop", "bank")
    before = await stored(line)
    (settings.storage.folder / f"{KEY_FILE}.{os.getpid()}").write_text("half a ke")  # the power went
    add_key(settings.storage.folder)  # and went again
    await connect(line, "cafe")
    new, old = keys(settings)
    assert line.vault.decrypt(before["shop"]) == {"token": "token of shop"}
    done = await rotate_key(settings)
    assert (done.exit_code, "2 credentials were encrypted anew." in done.stdout) == (0, True)
    assert "A new key was made" not in done.stdout
    assert keys(settings) == [new, old]
    with_new_only = opened_with(tmp_path / "new", [new])
    for name, credentials in (await stored(line)).items():
        assert with_new_only.decrypt(credentials) == {"token": f"token of {name}"}


async def test_credentials_that_no_key_opens_are_named_and_left_alone(
    line: Line, settings: Settings, tmp_path: Path
) -> None:
    await connect(line, "shop", "bank")
    foreign = Vault.open(tmp_path / "elsewhere").encrypt({"token": "of another installation"})
    async with line.database.write() as session:
        session.add_all([channel(line, "stranger", foreign), channel(line, "none", "")])
    done = await rotate_key(settings)
    assert done.exit_code == 0
    assert "Channel stranger: no key opens its credentials" in done.stderr
    assert "2 credentials were encrypted anew." in done.stdout
    found = await stored(line)
    assert (found["stranger"], found["none"]) == (foreign, "")
    with pytest.raises(KeyLost):
        line.vault.decrypt(found["stranger"])
    grow_old(settings)
    assert "The old key is forgotten." in (await rotate_key(settings, "--drop-old")).stdout
    assert line.vault.decrypt((await stored(line))["bank"]) == {"token": "token of bank"}


async def test_a_channel_that_is_connected_during_a_rotation_keeps_its_new_credentials(
    line: Line, settings: Settings
) -> None:
    names = [f"shop {number}" for number in range(20)]
    await connect(line, *names)
    rotation = asyncio.create_task(rotate_key(settings))
    for name in names:
        async with line.database.write() as session:
            row = (await session.execute(select(Channel).where(col(Channel.name) == name))).scalar_one()
            row.credentials = line.vault.encrypt({"token": f"newer token of {name}"})
    done = await rotation
    assert done.exit_code == 0, done.output
    found = await stored(line)
    assert {name: line.vault.decrypt(found[name])["token"] for name in names} == {
        n: f"newer token of {n}" for n in names
    }
    assert all(line.vault.is_newest(credentials) for credentials in found.values())


def test_a_file_without_a_key_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("\n")
    with pytest.raises(ValueError, match="There is no key in"):
        Vault.open(tmp_path)
