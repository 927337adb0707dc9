"""The command line, run as people run it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIELDS = ["language", "sentiment", "complaint", "intent", "reason"]


def run(*words: str, stdin: bytes = b"", module: str = "nlp") -> subprocess.CompletedProcess[bytes]:
    """Run python -m nlp with the words, from the repository root."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )


def test_analyze_writes_one_object_for_every_line_in_order() -> None:
    lines = [
        b"Your network has been down for two days and nobody answers",
        json.dumps({"text": "merci beaucoup, problème réglé rapidement", "id": 7}).encode(),
        b"",
        "👍👍".encode(),
        b"\xff\xfe not utf-8 \x80",
        b"{not json",
        b'{"message": "no text"}',
        b'{"text": 5}',
        b"[" * 5000,
        b'{"a":' * 5000,
        b'{"text": "\\ud800 half a character"}',
        b"control \x00\x01\x1b[31m characters",
        b"internet down " * 7200,
        "سطر \u2028 واحد".encode(),
        b"last line without an end",
    ]
    answer = run("analyze", stdin=b"\n".join(lines))
    assert answer.returncode == 0, answer.stderr
    objects = [json.loads(line) for line in answer.stdout.decode().splitlines()]
    assert len(objects) == len(lines)
    for found in objects:
        assert list(found) == FIELDS
        for field in FIELDS:
            assert set(found[field]) == {"label", "score", "scores", "model"}
    assert objects[0]["complaint"]["label"] == "complaint"
    assert objects[1]["intent"]["label"] == "praise"
    assert objects[1]["language"]["label"] == "fr"
    assert objects[12]["complaint"]["label"] == "complaint"


def test_analyze_of_nothing_writes_nothing() -> None:
    answer = run("analyze")
    assert (answer.returncode, answer.stdout) == (0, b"")


def test_evaluate_reads_plain_and_gzipped_rows(tmp_path: Path) -> None:
    rows = [
        {
            "text": "service nul, honteux",
            "lang": "fr",
            "task": "sentiment",
            "label": "negative",
            "source": "a",
        },
        {
            "text": "merci, service excellent",
            "lang": "fr",
            "task": "sentiment",
            "label": "positive",
            "source": "a",
        },
        {
            "text": "can you change my pin",
            "lang": "en",
            "task": "intent",
            "label": "change_pin",
            "source": "b",
        },
        {"text": "what is a topic", "lang": "en", "task": "intent", "label": "no_such_label", "source": "b"},
        {"text": "late again", "lang": "en", "task": "reason", "label": "Late Flight", "source": "c"},
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    answer = run("evaluate", "--json", str(tmp_path / "rows.jsonl"), str(tmp_path / "rows.jsonl.gz"))
    assert answer.returncode == 0, answer.stderr
    intent, reason, sentiment = [json.loads(line) for line in answer.stdout.decode().splitlines()]
    assert (intent["task"], intent["source"], intent["count"], intent["left_out"]) == ("intent", "b", 2, 2)
    assert (reason["task"], reason["count"]) == ("reason", 2)
    assert (sentiment["task"], sentiment["count"], sentiment["binary"]) == ("sentiment", 4, True)
    assert sentiment["accuracy"] == 1.0


def test_evaluate_says_what_was_left_out_and_what_was_restricted() -> None:
    answer = run("evaluate", "tests/nlp/labelled/demo.jsonl")
    assert answer.returncode == 0, answer.stderr
    table = answer.stdout.decode()
    assert "macro-F1" in table
    assert "negative and positive only" in table


@pytest.mark.parametrize("content", ["{broken", '{"text": 1}', "[1]", '{"text": "a", "task": "intent"}'])
def test_evaluate_names_file_and_line_of_a_row_it_cannot_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content, encoding="utf-8")
    answer = run("evaluate", str(tmp_path / "rows.jsonl"))
    assert answer.returncode == 1
    assert "rows.jsonl, line 1" in answer.stderr.decode()
    assert "Traceback" not in answer.stderr.decode()


def test_a_missing_file_is_a_sentence_not_a_traceback() -> None:
    answer = run("evaluate", "no-such-file.jsonl")
    assert answer.returncode == 1
    assert "no-such-file.jsonl" in answer.stderr.decode()
    assert "Traceback" not in answer.stderr.decode()
