"""An archive through the line: all accounted for, nothing twice, and a kill at any moment changes nothing."""

import asyncio
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from connectors.journal import Journal
from socialcrm.database import Database
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.rows import Analysis, Conversation, Message, RawEventRow
from tests.requirements import require

ROOT = Path(__file__).parents[2]
AIRLINES = ROOT.parent / "shared" / "data" / "replay" / "airline_tweets.jsonl.gz"
ALL, SOME = 14_640, 1_200
KILLS = 3


@pytest.fixture
def airlines() -> Path:
    if not AIRLINES.exists():
        require("../shared/data/replay/airline_tweets.jsonl.gz")
    return AIRLINES


class Replay:
    """The command, run as a user would, on a database and a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.answers = folder / "answers.jsonl"

    def start(self, file: Path, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "run.py", "replay", str(file), "--wait", "--json", "--database", self.url]
            + ["--answers", str(self.answers), *more],
            cwd=ROOT,
            env={
                **os.environ,
                "SOCIALCRM_STORAGE__FOLDER": str(self.folder),
                "SOCIALCRM_UNDERSTANDING__ENCODER": "false",  # this is about the line, and 14,640 messages are many
                "SOCIALCRM_LOG": "ERROR",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, file: Path, *more: str) -> dict[str, Any]:
        output, errors = self.start(file, *more).communicate(timeout=600)
        assert output.strip(), errors
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return result

    def killed(self, file: Path, after: int, moments: random.Random) -> bool:
        """Start it and kill it a moment after so many steps are done; False when it was done before."""
        process = self.start(file)
        asyncio.run(self._reaches(after, process))
        time.sleep(moments.uniform(0, 0.1))  # the moment of the kill is the point of this test
        if process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True

    async def _reaches(self, count: int, process: subprocess.Popen[str]) -> None:
        database = Database(self.url)
        while process.poll() is None and await steps(database) < count:
            await asyncio.sleep(0.02)
        await database.close()


async def steps(database: Database) -> int:
    """How far a replay is: the rows taken in, those read, the messages understood and the answers sent."""
    async with database.read() as session:
        counts = [
            select(func.count()).select_from(RawEventRow),
            select(func.count()).where(col(RawEventRow.fate) == "stored"),
            select(func.count()).select_from(Analysis),
            select(func.count()).where(col(Message.delivery) == "sent"),
        ]
        return sum([await session.scalar(count) or 0 for count in counts])


async def end_state(url: str) -> dict[str, Any]:
    """What a replay leaves behind, without numbers that a rolled-back transaction may skip."""
    database = Database(url)
    incoming = col(Message.direction) == "in"
    answer = select(col(Message.answers_id)).where(
        col(Message.answers_id).is_not(None), col(Message.author_kind) == AuthorKind.RULE
    )
    by_bot = (
        select(col(Conversation.thread_key), func.count())
        .join(Message, col(Message.conversation_id) == col(Conversation.id))
        .where(col(Message.author_kind) == AuthorKind.BOT)
        .group_by(col(Conversation.thread_key))
    )
    async with database.read() as session:
        rows = await session.execute(
            select(
                col(Message.external_id),
                col(Message.text),
                col(Analysis.language),
                col(Analysis.sentiment),
                col(Analysis.is_complaint),
                col(Analysis.intent),
                col(Message.id).in_(answer),
                col(Conversation.thread_key),
            )
            .join(Analysis, col(Analysis.message_id) == col(Message.id))
            .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
            .where(incoming)
        )
        messages = {tuple(row) for row in rows.all()}
        state = {
            "messages": messages,
            "count": await session.scalar(select(func.count()).select_from(Message).where(incoming)),
            # which of several messages in a row the bot answers depends on when they came, that it does not
            "by_bot": {tuple(row) for row in (await session.execute(by_bot)).all()},
            "analyses": await session.scalar(select(func.count()).select_from(Analysis)),
            "conversations": await session.scalar(select(func.count()).select_from(Conversation)),
            "answers": await session.scalar(select(func.count()).where(col(Message.answers_id).is_not(None))),
            "deliveries": Counter((await session.execute(select(col(Message.delivery)).where(~incoming))).scalars()),
            "stored": await session.scalar(select(func.count()).where(col(RawEventRow.fate) == "stored")),
        }
    await database.close()
    return state


def is_all_accounted_for(posts: Path, count: int, fresh_database: Callable[[], str], folder: Path) -> None:
    """Play an archive in one go and once more, and with kills at random moments: the same, and nothing twice."""
    calm, stormy = (Replay(fresh_database(), folder / name) for name in ("calm", "stormy"))
    for replay in (calm, stormy):
        replay.folder.mkdir()
    first = calm.run(posts)
    assert first["received"] == count
    assert first["received"] == sum(first[k] for k in ("stored", "duplicate", "ignored", "dead", "waiting"))
    assert first["waiting"] == first["dead"] == 0
    assert first["stored"] == first["analyzed"] == first["triaged"]
    assert first["answered"] > count / 30

    again = calm.run(posts)
    assert (again["received"], again["duplicate"], again["stored"], again["answered"]) == (count, count, 0, 0)

    moments = random.Random(7)
    whole = first["received"] + first["stored"] + first["analyzed"] + first["answered"]
    parts = sorted(moments.uniform(0.02, 0.9) for _ in range(KILLS))
    kills = sum(stormy.killed(posts, int(part * whole), moments) for part in parts)
    assert kills >= 2, "the replay was over before it could be killed"
    last = stormy.run(posts)
    assert {k: last[k] for k in first if k != "seconds"} == {k: first[k] for k in first if k != "seconds"}

    expected, found = asyncio.run(end_state(calm.url)), asyncio.run(end_state(stormy.url))
    assert found == expected
    assert found["count"] == found["analyses"] == found["stored"] == len(found["messages"])
    assert found["deliveries"] == Counter(sent=first["answered"])
    for replay in (calm, stormy):
        keys = Counter(line["key"] for line in Journal(replay.answers).lines())
        assert len(keys) == first["answered"]
        assert set(keys.values()) == {1}, "an answer was sent twice"


@pytest.mark.slow
def test_airline_posts_are_accounted_for_once_however_often_the_process_is_killed(
    airlines: Path, fresh_database: Callable[[], str], tmp_path: Path
) -> None:
    some = tmp_path / "some.jsonl"
    with gzip.open(airlines, "rt", encoding="utf-8") as file:
        some.write_text("".join(islice(file, SOME)), encoding="utf-8")
    is_all_accounted_for(some, SOME, fresh_database, tmp_path)


@pytest.mark.slow
def test_all_airline_posts_are_accounted_for_once_however_often_the_process_is_killed(
    airlines: Path, fresh_database: Callable[[], str], tmp_path: Path
) -> None:
    is_all_accounted_for(airlines, ALL, fresh_database, tmp_path)


def test_a_malformed_row_becomes_a_dead_letter_with_its_line_number_and_the_rest_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    archive = tmp_path / "mixed.jsonl"
    archive.write_bytes(
        b'{"text": "first", "author": "a"}\n'
        b'{"text": "broken\n'
        b"[1, 2]\n"
        b'{"text": "caf\xe9", "author": "b"}\n'
        b'{"author": "no text"}\n'
        b'{"text": "bad day", "author": "c", "created": "yesterday"}\n'
        b"\n"
        b'{"text": "nul \\u0000 and half \\ud83d a pair", "author": "d"}\n'
        b'{"text": "first", "author": "a"}\n'
    )
    found = Replay(database_url, tmp_path).run(archive)
    assert (found["received"], found["stored"], found["duplicate"], found["dead"]) == (8, 2, 1, 5)
    output = subprocess.run(
        [sys.executable, "run.py", "ledger", "--database", database_url, "--dead"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for line in ("line 2: not valid JSON", "line 3: expected a JSON object", "line 4: not UTF-8", "line 5: no text"):
        assert line in output
    assert "line 6: created: 'yesterday'" in output


def test_a_csv_of_a_spreadsheet_is_mapped_by_its_header_or_by_hand(database_url: str, tmp_path: Path) -> None:
    guessed = tmp_path / "export.csv.gz"
    with gzip.open(guessed, "wt", encoding="utf-8-sig", newline="") as file:
        file.write(
            'Date;Auteur;Message\n03/02/2026 10:15;lila;"ma box est\nen panne"\n03/02/2026 10:16;omar;merci;de trop\n'
        )
    found = Replay(database_url, tmp_path).run(guessed)
    assert (found["stored"], found["dead"]) == (1, 1)
    named = tmp_path / "named.csv"
    named.write_text("when,who,what\n1770113700,lila,bonjour\n", encoding="utf-8")
    found = Replay(database_url, tmp_path).run(named, "--map", "text=what,author=who,created=when")
    assert found["stored"] == 1


def test_an_archive_can_be_played_at_a_multiple_of_real_time(database_url: str, tmp_path: Path) -> None:
    archive = tmp_path / "hour.jsonl"
    rows = [{"text": f"n {n}", "author": f"a{n}", "created": f"2026-01-01T10:{n:02}:00Z"} for n in (20, 0, 10)]
    archive.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    started = time.monotonic()
    found = Replay(database_url, tmp_path).run(archive, "--speed", "600")
    assert found["stored"] == 3
    assert time.monotonic() - started >= 20 * 60 / 600


def test_a_wrong_map_and_a_missing_file_are_one_clear_sentence(tmp_path: Path) -> None:
    archive = tmp_path / "x.jsonl"
    archive.write_text("{}\n")
    command = [sys.executable, "run.py", "replay"]
    wrong = subprocess.run([*command, str(archive), "--map", "words=body"], cwd=ROOT, capture_output=True, text=True)
    assert (wrong.returncode, "'words'" in wrong.stderr) == (2, True)
    absent = subprocess.run([*command, str(tmp_path / "no.csv")], cwd=ROOT, capture_output=True, text=True)
    assert absent.returncode == 2
    assert "does not exist" in absent.stderr
