"""Weighs encoder and n-grams against each other on held-out rows, field by field, and writes the heads.

Stacking with few parameters (a factor for each of the two and a shift a label), so that the sum is calibrated and
little can be overfitted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from nlp.heads import Head, Heads, HybridComponent
from nlp.linear import LinearComponent
from nlp.onnx import Encoder
from nlp.pipeline import FIELDS, Field
from nlp.train.alike import projection
from nlp.train.examples import LABELS, Example, targets
from nlp.train.fit import CLEAR, figures
from nlp.train.sets import Split
from nlp.train.softmax import Targets, loss

_SHIFT_PENALTY = 0.02
_MADE = 0.05


def heads_of(encoder: Path, name: str) -> Heads:
    """Read the heads that fine-tuning left, unfused."""
    stored = torch.load(encoder / "heads.pt", weights_only=True, map_location="cpu")
    heads: dict[Field, Head] = {}
    for field in FIELDS:
        labels = LABELS[field]
        weights, bias = (stored["heads"][f"{field}.{part}"].float().numpy() for part in ("weight", "bias"))
        heads[field] = Head(labels, weights.T.copy(), bias, 1.0, 0.0, np.zeros(len(labels), np.float32))
    hidden = heads["sentiment"].weights.shape[0]
    return Heads(name, heads, np.zeros((hidden + 1, hidden), np.float32), np.zeros(hidden, np.float32))


def _balanced(held: list[Example], known: Targets) -> Targets:
    """Let every source and language weigh with the root of its rows, so that the largest does not decide alone.

    Made messages hardly count: n-grams recognise the generator in them, which tells nothing of what people write.
    """
    groups = [(one.source.split("/")[0], one.lang) for one in held]
    count = Counter(groups)
    weights = [count[group] ** -0.5 * (_MADE if group[0] == "made" else 1) for group in groups]
    return Targets(known.allowed, known.wanted, np.array(weights))


def fused(head: Head, said: NDArray[np.float32], ngrams: NDArray[np.float32], known: Targets) -> Head:
    """Return the head with the factors and shifts of least loss, given (rows, labels) logits and probabilities."""
    logs = np.log(np.maximum(ngrams, 1e-7)).astype(np.float64)
    logits = said.astype(np.float64)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        shift = flat[2:]
        value, slope = loss(flat[0] * logits + flat[1] * logs + shift, known)
        gradient = np.concatenate(
            ([(slope * logits).sum(), (slope * logs).sum()], slope.sum(0) + _SHIFT_PENALTY * shift)
        )
        return value + 0.5 * _SHIFT_PENALTY * float(shift @ shift), gradient

    start = np.concatenate(([0.7, 0.3], np.zeros(logits.shape[1])))
    bounds = [(0.05, 3.0), (0.0, 3.0)] + [(-2.0, 2.0)] * logits.shape[1]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Head(head.labels, head.weights, head.bias, float(found[0]), float(found[1]), found[2:].astype(np.float32))


def fuse(chosen: Split, work: Path, out: Path, name: str) -> Iterator[str]:
    """Fit the fusion of every field on held-out rows, write <out>/heads.npz, and yield figures of the whole."""
    plain = heads_of(work, name)
    encoder = Encoder(out, name, plain.likeness)
    heads: dict[Field, Head] = {}
    states: dict[Field, NDArray[np.float32]] = {}
    for field in FIELDS:
        held = [one for one in chosen.held[field] if one.weight >= CLEAR]
        texts = [one.text for one in held]
        head, linear = plain.heads[field], LinearComponent.load(out / f"{field}.npz", field)
        states[field] = encoder.states(texts)
        said = states[field] @ head.weights + head.bias
        ngrams = linear.probabilities(texts)
        heads[field] = fused(head, said, ngrams, _balanced(held, targets(field, held)))
        yield f"{field}: encoder {heads[field].encoder:.2f}, n-grams {heads[field].ngrams:.2f}"
        hybrid = HybridComponent(field, encoder, linear, heads[field], name)
        yield from figures(field, held, hybrid.probabilities)
    likeness = projection(encoder, work.parent / "likeness.npz")
    Heads(name, heads, likeness, states["sentiment"].mean(axis=0)).save(out / "heads.npz")
