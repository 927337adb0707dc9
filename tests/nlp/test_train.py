"""Training, on a slice small enough to run in a second or two."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from nlp.pipeline import Pipeline

pytest.importorskip("scipy", reason="training needs the [train] extra (scikit-learn, which brings scipy)")

from nlp.intents import INTENTS, REASONS
from nlp.train.__main__ import main
from nlp.train.corpus import written
from nlp.train.grammar import LANGUAGES, messages

ROWS = {
    "sentiment.train": [
        ("j'adore ce film", "fr", "sentiment", "positive"),
        ("quel film nul", "fr", "sentiment", "negative"),
        ("le film commence", "fr", "sentiment", "neutral"),
        ("that was awful", "en", "sentiment", "negative"),
    ],
    "sentiment.dev": [
        ("film super", "fr", "sentiment", "positive"),
        ("film nul", "fr", "sentiment", "negative"),
    ],
    "complaint.train": [
        ("my phone arrived broken", "en", "complaint", "complaint"),
        ("nice weather", "en", "complaint", "other"),
    ],
}


def trained(folder: Path, out: Path) -> dict[str, bytes]:
    """Train on the tiny rows and return the weights files."""
    folder.mkdir(exist_ok=True)
    for name, rows in ROWS.items():
        keys = ("text", "lang", "task", "label")
        lines = [json.dumps(dict(zip(keys, row, strict=True)) | {"source": "umsab"}) for row in rows]
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    words = [
        "--data",
        str(folder),
        "--out",
        str(out),
        "--stages",
        "linear",
        "--made",
        "400",
        "--steps",
        "5",
        "--seed",
        "3",
    ]
    main(words)
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.npz"))}


def test_training_on_a_tiny_slice_gives_weights_that_load_and_are_the_same_each_time(tmp_path: Path) -> None:
    first = trained(tmp_path / "data", tmp_path / "one")
    trained(tmp_path / "data", tmp_path / "two")
    assert sorted(first) == ["complaint.npz", "intent.npz", "language.npz", "reason.npz", "sentiment.npz"]
    for name in first:
        with np.load(tmp_path / "one" / name) as one, np.load(tmp_path / "two" / name) as two:
            assert set(one.files) == set(two.files)
            for key in one.files:
                assert np.array_equal(one[key], two[key]), (name, key)
    document = Pipeline.load(tmp_path / "one").analyze(["bonjour"])[0]
    assert document.intent is not None and document.intent.label


def test_sources_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--sources", "nobody", "--stages", "linear"])


def test_made_messages_are_the_same_for_one_seed_and_others_for_another() -> None:
    assert list(messages(200, 1)) == list(messages(200, 1))
    assert list(messages(200, 1)) != list(messages(200, 2))


def test_made_messages_have_complaints_and_others_in_every_language() -> None:
    made = list(messages(3000, 5))
    for language in LANGUAGES:
        share = np.mean([one.complaint == "complaint" for one in made if one.language == language])
        assert 0.25 < share < 0.6, (language, share)


def test_made_messages_have_no_slot_left_open() -> None:
    assert not [one.text for one in messages(3000, 5) if "{" in one.text or "[" in one.text]


def test_every_written_message_has_labels_that_we_know_and_is_there_once() -> None:
    told = list(written())
    assert len(told) > 3000
    assert len({one.text for one in told}) == len(told)
    assert {one.language for one in told} == {"fr", "ar", "arq-Arab", "arq-Latn", "en"}
    assert {one.intent for one in told} == set(INTENTS)
    assert {one.sentiment for one in told} == {"negative", "neutral", "positive"}
    assert {one.reason for one in told} == {"", *REASONS}
    assert not [one.text for one in told if one.complaint == "complaint" and not one.reason]


def test_a_written_message_without_a_header_is_refused_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "fr.txt").write_text("bonjour\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"fr\.txt:1: a message before any header"):
        list(written(tmp_path))
    (tmp_path / "fr.txt").write_text("== praise / positive\nmerci\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"fr\.txt:1: expected"):
        list(written(tmp_path))
