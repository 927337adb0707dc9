"""The pictures of the model card and its list of worst errors, on a model that always says the same."""

import gzip
import importlib
import importlib.util
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from nlp.linear import LinearComponent
from nlp.pipeline import FIELDS, Prediction
from nlp.transformer import OURS
from tests.requirements import require

OWN = [
    {"text": "la ligne est coupée", "lang": "fr", "sentiment": "negative", "complaint": "complaint"},
    {"text": "a | b ?\nmerci", "lang": "fr", "sentiment": "positive", "complaint": "other"},
    {"text": "thanks", "lang": "en", "sentiment": "positive", "complaint": "complaint"},
]
PUBLIC = [
    {"text": "a public tweet", "lang": "en", "task": "sentiment", "label": "positive", "source": "umsab"},
    {"text": "ein Tweet", "lang": "de", "task": "sentiment", "label": "positive", "source": "umsab"},
    {"text": "3andek", "lang": "arq-Latn", "task": "sentiment", "label": "positive", "source": "narabizi"},
]


@pytest.fixture
def plots() -> Any:
    """The module, which needs matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        require("matplotlib: pip install 'socialcrm[train]'")
    return importlib.import_module("nlp.train.plots")


@pytest.fixture
def out(plots: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The pictures of a model that says the first label of each field with a score of 0.9; capsys has the rest."""
    for name in ("models", "own", "data"):
        (tmp_path / name).mkdir()
    for field in FIELDS:
        bias = np.zeros(len(OURS[field]), np.float32)
        bias[0] = math.log(9 * (len(bias) - 1))
        weights = np.full((2, len(bias)), 1e-9, np.float32)
        LinearComponent(field, OURS[field], weights, bias, 1.0).save(tmp_path / "models" / f"{field}.npz")
    (tmp_path / "own" / "ours.jsonl").write_text("\n".join(map(json.dumps, OWN)))
    with gzip.open(tmp_path / "data" / "sentiment.dev.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, PUBLIC)))
    folders = {"--data": "data", "--labelled": "own", "--models": "models", "--out": "out"}
    plots.main([part for option, name in folders.items() for part in (option, str(tmp_path / name))])
    return tmp_path / "out"


def judged(plots: Any, truth: str, label: str, score: float, lang: str = "fr", text: str = "") -> Any:
    """One row with what a model said of it."""
    return plots.Judged("complaint", lang, text, truth, Prediction(label, score, {}, "m"))


def test_every_field_with_rows_gets_a_small_picture_with_its_figures(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {"language.svg", "sentiment.svg", "complaint.svg"}
    for path in out.iterdir():
        assert path.stat().st_size < 60_000
    words = " ".join(ElementTree.parse(out / "sentiment.svg").getroot().itertext())
    for said in ("our messages: 3 rows", "accuracy 0.333", "public dev rows: 1 rows", "negative", "mean gap 0.567"):
        assert said in words


def test_the_worst_errors_are_our_own_messages_and_no_public_text(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = capsys.readouterr().out
    assert "| a \\| b ? merci | language | en | 0.90 | fr |" in told
    assert "### fr" in told and "### en" in told
    assert "public" not in told and "3andek" not in told


def test_the_matrix_counts_truth_by_row_and_answers_by_column(plots: Any) -> None:
    ones = [judged(plots, "other", "complaint", 0.9)] * 2 + [judged(plots, "other", "other", 0.9)]
    assert plots.confusion(ones, ("complaint", "other")).tolist() == [[0, 0], [2, 1]]


def test_calibration_is_the_gap_between_score_and_share_right_weighted_by_rows(plots: Any) -> None:
    ones = [judged(plots, "other", "other", 0.95)] * 3 + [judged(plots, "other", "complaint", 0.95)]
    ones += [judged(plots, "other", "complaint", 0.55), judged(plots, "other", "other", 1.0)]
    found = plots.calibration(ones)
    assert found.rows.tolist() == [1, 5]
    assert np.allclose(found.score, [0.55, 0.96]) and np.allclose(found.right, [0.0, 0.8])
    assert math.isclose(found.error, (0.55 + 5 * 0.16) / 6, abs_tol=1e-9)


def test_the_worst_of_a_language_are_the_surest_and_a_text_comes_once(plots: Any) -> None:
    ones = [judged(plots, "other", "complaint", n / 100, text=str(n)) for n in range(50, 70)]
    ones += [judged(plots, "other", "complaint", 0.3, text="69"), judged(plots, "other", "other", 1.0, text="right")]
    ones += [judged(plots, "other", "complaint", 0.99, lang="ar")]
    assert [one.text for one in plots.worst(ones, "fr")] == [str(n) for n in range(69, 59, -1)]
