"""Where the model is wrong and how far its scores can be trusted: pictures for the docs, and its worst errors.

python -m nlp.train.plots --data ../shared/data/nlp --out docs/images/model > worst-errors.md

Writes one SVG a field: confusion matrices on our own labelled messages and on public dev rows, and a calibration
diagram of both. Prints, as Markdown, the errors on our own messages that the model was surest of; texts of public
sets are not shown, for their terms differ.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nlp.evaluate import accuracy, macro_f1, truth_of
from nlp.languages import LANGUAGES, our_language
from nlp.pipeline import FIELDS, Field, Pipeline, Prediction
from nlp.rows import Row, read
from nlp.train.examples import LABELS, NO_NEUTRAL, learned_from

BINS = 10
_LEAST = 5  # rows of a bin that say something
_COLOURS = ("#1f5fa8", "#c2571a")
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "socialcrm",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled text and what the pipeline said of one field of it."""

    field: Field
    lang: str
    text: str
    truth: str
    prediction: Prediction

    @property
    def is_right(self) -> bool:
        """Tell whether the likeliest label is the true one."""
        return self.prediction.label == self.truth


def judged(pipeline: Pipeline, rows: Iterable[Row]) -> list[Judged]:
    """Return what the pipeline says of every row that has a label of ours in a language of ours.

    Rows of sources without neutral are left out, for no answer of three can be compared with theirs of two.
    """
    known = [
        (row, field, truth)
        for row in rows
        for field in FIELDS
        if field == row.task and row.source not in NO_NEUTRAL and our_language(row.lang, row.text) != "other"
        if (truth := truth_of(row, field)) is not None
    ]
    documents = pipeline.analyze([row.text for row, _, _ in known])
    found = []
    for (row, field, truth), document in zip(known, documents, strict=True):
        if prediction := getattr(document, field):
            found.append(Judged(field, row.lang, row.text, truth, prediction))
    return found


def confusion(ones: Sequence[Judged], labels: Sequence[str]) -> NDArray[np.int64]:
    """Return (true label, predicted label) counts."""
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for one in ones:
        counts[labels.index(one.truth), labels.index(one.prediction.label)] += 1
    return counts


@dataclass(frozen=True, slots=True)
class Calibration:
    """By score: (bins,) mean score, share of right answers, and rows; bins without rows are left out.

    `error` is the expected calibration error: the mean over rows of |share right - mean score| of their bin.
    """

    score: NDArray[np.float64]
    right: NDArray[np.float64]
    rows: NDArray[np.int64]
    error: float


def calibration(ones: Sequence[Judged], bins: int = BINS) -> Calibration:
    """Put predictions into bins of equal width by their score (Guo et al. 2017, arXiv:1706.04599)."""
    scores = np.array([one.prediction.score for one in ones])
    rights = np.array([one.is_right for one in ones], np.float64)
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    rows = np.bincount(place, minlength=bins)
    filled = rows > 0
    score = np.bincount(place, scores, bins)[filled] / rows[filled]
    right = np.bincount(place, rights, bins)[filled] / rows[filled]
    error = float((rows[filled] * np.abs(right - score)).sum() / max(len(ones), 1))
    return Calibration(score, right, rows[filled], error)


def worst(ones: Iterable[Judged], lang: str, count: int = 10) -> list[Judged]:
    """Return the errors of one language that the model was surest of, at most one a text."""
    wrong = sorted(
        (one for one in ones if one.lang == lang and not one.is_right), key=lambda one: -one.prediction.score
    )
    found: dict[str, Judged] = {}
    for one in wrong:
        found.setdefault(one.text, one)
    return list(found.values())[:count]


def markdown(ones: Sequence[Judged]) -> Iterator[str]:
    """Yield the lines of a Markdown fragment: for each language, its worst errors."""
    for lang in LANGUAGES:
        if found := worst(ones, lang):
            yield from (f"### {lang}", "", "| message | field | said | score | is |", "|---|---|---|---|---|")
            for one in found:
                text = " ".join(one.text.split()).replace("|", "\\|")
                said, score = one.prediction.label, one.prediction.score
                yield f"| {text} | {one.field} | {said} | {score:.2f} | {one.truth} |"
            yield ""


def _draw_confusion(axes: Axes, ones: Sequence[Judged], labels: Sequence[str], title: str) -> None:
    counts = confusion(ones, labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for truth, said in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[truth, said] > 0.55 else "black"
        axes.text(said, truth, str(counts[truth, said]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="said", ylabel="is")
    truths, guesses = [one.truth for one in ones], [one.prediction.label for one in ones]
    figures = f"accuracy {accuracy(truths, guesses):.3f}, macro-F1 {macro_f1(truths, guesses):.3f}"
    axes.set_title(f"{title}: {len(ones):,} rows\n{figures}", fontsize=8)


def _draw_calibration(axes: Axes, sets: Sequence[tuple[str, Sequence[Judged]]]) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    for (name, ones), colour in zip(sets, _COLOURS, strict=False):
        found = calibration(ones)
        shown = found.rows >= _LEAST
        axes.plot(
            found.score[shown],
            found.right[shown],
            marker="o",
            markersize=4,
            color=colour,
            label=f"{name}, mean gap {found.error:.3f}",
        )
    axes.set(xlabel="score", ylabel="share right", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title("Of predictions with a score,\nhow many are right", fontsize=8)
    axes.legend(frameon=False, loc="lower right", fontsize=7)


def draw(field: Field, sets: Sequence[tuple[str, Sequence[Judged]]], path: Path) -> None:
    """Write the confusion matrix of each set of judged rows, and the calibration of all, as one SVG."""
    labels = LABELS[field]
    size = 1.3 + 0.36 * len(labels)
    widths = [max(size, 2.6)] * len(sets) + [3.2]
    with rc_context(_STYLE):
        figure = Figure(figsize=(sum(widths) + 0.8, max(size, 3.2) + 0.4), layout="constrained", facecolor="white")
        panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        for (name, ones), axes in zip(sets, panels, strict=False):
            _draw_confusion(axes, ones, labels, name)
        _draw_calibration(panels[-1], sets)
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})


def main(words: Sequence[str] | None = None) -> None:
    """Draw every field of which there are rows; print the worst errors."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.plots", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.dev.jsonl.gz")
    parser.add_argument("--labelled", type=Path, default=Path("tests/nlp/labelled"), help="folder with our own rows")
    parser.add_argument("--models", type=Path, help="folder with weights (default: the shipped ones)")
    parser.add_argument("--out", type=Path, default=Path("docs/images/model"))
    given = parser.parse_args(words)
    pipeline = Pipeline.load(given.models)
    own = judged(pipeline, read(sorted(given.labelled.glob("*.jsonl"))))
    dev_rows = read(sorted(given.data.glob("*.dev.jsonl.gz")))
    public = judged(pipeline, (row for row in dev_rows if not learned_from(row)))
    given.out.mkdir(parents=True, exist_ok=True)
    for field in FIELDS:
        sets = [("our messages", [one for one in own if one.field == field])]
        sets += [("public dev rows", [one for one in public if one.field == field])]
        sets = [(name, ones) for name, ones in sets if ones]
        if sets:
            path = given.out / f"{field}.svg"
            draw(field, sets, path)
            print(f"{path}: {path.stat().st_size // 1000} KB", file=sys.stderr)
    print("\n".join(markdown(own)))


if __name__ == "__main__":
    main()
