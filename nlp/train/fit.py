"""From examples to the n-gram models: one linear model a field."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp.evaluate import accuracy, macro_f1
from nlp.features import Ngrams, ngrams
from nlp.linear import LinearComponent, gather
from nlp.normalize import normalize
from nlp.pipeline import Field
from nlp.train.examples import LABELS, Example, targets
from nlp.train.sets import Split
from nlp.train.softmax import fit, matrix, temperature

BUCKETS: dict[Field, int] = {
    "language": 2**17,
    "sentiment": 2**19,
    "complaint": 2**18,
    "intent": 2**18,
    "reason": 2**16,
}
PENALTY: dict[Field, float] = {"language": 0.15, "sentiment": 0.8, "complaint": 0.2, "intent": 0.1, "reason": 0.3}
"""L2 strength, chosen on the held-out rows."""

Guess = Callable[[Sequence[str]], NDArray[np.float32]]
"""Raw texts -> (texts, labels) probabilities."""

CLEAR = 0.3
"""Least weight of an example that a calibration is fitted on: weak signs would mislead it."""


def _hashed(chosen: Sequence[Example]) -> Ngrams:
    """Hash the texts of examples, a few at a time because hashing takes memory."""
    parts = [
        ngrams([normalize(one.text) for one in chosen[start : start + 512]]) for start in range(0, len(chosen), 512)
    ]
    return Ngrams(np.concatenate([part.hashes for part in parts]), np.concatenate([part.counts for part in parts]))


def figures(field: Field, held: Sequence[Example], guess: Guess) -> Iterator[str]:
    """Yield a line of figures for each source and language of the held-out examples with one clear label."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for one in held:
        if len(one.wanted) == 1:
            groups.setdefault((one.source.split("/")[0], one.lang), []).append(one)
    for (source, lang), members in sorted(groups.items()):
        rows = np.where(targets(field, members).allowed, guess([one.text for one in members]), -1)
        guesses = [LABELS[field][best] for best in rows.argmax(axis=1)]
        truth = [one.wanted[0] for one in members]
        yield (
            f"{field:<10} {source:<20} {lang:<9} {len(truth):>6} rows, accuracy "
            f"{accuracy(truth, guesses):.3f}, macro-F1 {macro_f1(truth, guesses):.3f}"
        )


def train_linear(chosen: Split, fields: Sequence[Field], steps: int, out: Path) -> Iterator[str]:
    """Train the n-gram models, write <out>/<field>.npz, and yield lines that say how it went.

    What is held out is not learned from; the temperature is fitted on it. Raises ValueError if there is nothing to
    learn.
    """
    out.mkdir(parents=True, exist_ok=True)
    for field in fields:
        learned, held = chosen.learned[field], chosen.held[field]
        clear = [one for one in held if one.weight >= CLEAR]
        if not learned or not clear:
            raise ValueError(f"these sources have nothing to learn {field} from")
        weights, bias = fit(matrix(_hashed(learned), BUCKETS[field]), targets(field, learned), PENALTY[field], steps)
        logits = (gather(_hashed(clear), weights) + bias).astype(np.float64)
        component = LinearComponent(field, LABELS[field], weights, bias, temperature(logits, targets(field, clear)))
        component.save(out / f"{field}.npz")
        shipped = LinearComponent.load(out / f"{field}.npz", field)
        yield f"{field}: {len(learned)} examples, temperature {shipped.temperature:.2f}"
        yield from figures(field, held, shipped.probabilities)
