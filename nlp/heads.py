"""The heads on the encoder: what its states and the n-grams say of each field, fused and calibrated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from nlp.linear import LinearComponent, softmax
from nlp.normalize import normalize
from nlp.pipeline import FIELDS, Document, Field, Prediction

if TYPE_CHECKING:
    from nlp.onnx import Encoder
    from nlp.pipeline import Pipeline

Floats = NDArray[np.float32]

_PULL = 20.0
"""How strongly refitted heads are pulled towards the shipped ones, as a number of corrections."""
_REACH = 10.0
"""Mean square of the states that a refit sees: how far a correction reaches beyond its own text."""
_STEPS = 400


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer and how it is fused with the n-gram model of the same field.

    `weights` (hidden, labels) and `bias` (labels,) give what the encoder says; the log-probability of the n-grams is
    added to it: encoder * logits + ngrams * log P + shift. The three were fitted on rows kept out of training, so
    the sum is calibrated.
    """

    labels: tuple[str, ...]
    weights: Floats
    bias: Floats
    encoder: float
    ngrams: float
    shift: Floats

    def fixed(self, ngrams: Floats) -> Floats:
        """Return the (texts, labels) part that does not depend on the encoder, from probabilities of the n-grams."""
        result: Floats = (self.ngrams * np.log(np.maximum(ngrams, 1e-7)) + self.shift).astype(np.float32)
        return result

    def probabilities(self, states: Floats, ngrams: Floats) -> Floats:
        """Return (texts, labels) probabilities."""
        return softmax(self.encoder * (states @ self.weights + self.bias) + self.fixed(ngrams))


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of all fields, the projection for likeness, and a name that every prediction carries.

    `middle` (hidden,) is the mean state of all kinds of texts: what a text has beyond it is its own.
    """

    name: str
    heads: Mapping[Field, Head]
    likeness: Floats
    middle: Floats

    @property
    def weights(self) -> Mapping[Field, Floats]:
        """The (hidden, labels) weights by field."""
        return {field: head.weights for field, head in self.heads.items()}

    @property
    def bias(self) -> Mapping[Field, Floats]:
        """The (labels,) bias by field."""
        return {field: head.bias for field, head in self.heads.items()}

    @property
    def labels(self) -> Mapping[Field, tuple[str, ...]]:
        """The labels by field."""
        return {field: head.labels for field, head in self.heads.items()}

    @classmethod
    def load(cls, path: Path) -> "Heads":
        """Read what `save` wrote; FileNotFoundError, or ValueError if it is not such a file."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # numpy leaves a bad one open
                heads = {
                    field: Head(
                        tuple(map(str, stored[f"{field}.labels"])),
                        stored[f"{field}.weights"].astype(np.float32),
                        stored[f"{field}.bias"].astype(np.float32),
                        float(stored[f"{field}.encoder"]),
                        float(stored[f"{field}.ngrams"]),
                        stored[f"{field}.shift"].astype(np.float32),
                    )
                    for field in FIELDS
                }
                likeness, middle = (stored[name].astype(np.float32) for name in ("likeness", "middle"))
                return cls(str(stored["name"]), heads, likeness, middle)
        except (KeyError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is no file of heads: {error}") from error

    def save(self, path: Path) -> None:
        """Write the heads as npz."""
        stored: dict[str, NDArray[np.generic]] = {
            "name": np.array(self.name),
            "likeness": self.likeness.astype(np.float16),
            "middle": self.middle.astype(np.float32),
        }
        for field, head in self.heads.items():
            stored[f"{field}.labels"] = np.array(head.labels)
            stored[f"{field}.weights"] = head.weights.astype(np.float32)
            stored[f"{field}.bias"] = head.bias.astype(np.float32)
            stored[f"{field}.encoder"] = np.array(head.encoder)
            stored[f"{field}.ngrams"] = np.array(head.ngrams)
            stored[f"{field}.shift"] = head.shift.astype(np.float32)
        np.savez_compressed(path, **stored)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class HybridComponent:
    """Predicts one field from the encoder and the n-grams together."""

    field: Field
    encoder: "Encoder"
    linear: LinearComponent
    head: Head
    model: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a prediction can have."""
        return self.head.labels

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return (texts, labels) probabilities; a text with nothing to read is left to the n-grams' prior."""
        ngrams = self.linear.probabilities(texts)
        result = self.head.probabilities(self.encoder.states(texts), ngrams)
        silent = [place for place, text in enumerate(texts) if not normalize(text)]
        result[silent] = ngrams[silent]
        return result

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        """Return one prediction a document, in the same order."""
        rows = self.probabilities([document.text for document in documents]).tolist()
        predictions = []
        for row in rows:
            scores = dict(zip(self.labels, row, strict=True))
            label = max(scores, key=scores.__getitem__)
            predictions.append(Prediction(label, scores[label], scores, self.model))
        return predictions


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person says that one field of a text is."""

    text: str
    field: Field
    label: str


def refit(pipeline: "Pipeline", corrections: Iterable[Correction]) -> Heads:
    """Return heads that have learned from corrections, with the name of the old ones and a "+".

    The encoder stays as it is. Multinomial logistic regression by accelerated gradient descent, pulled towards the
    heads in use by a Gaussian prior, so that a few corrections move little and many move much; the part of the
    n-grams is a fixed offset. Seconds for thousands of corrections. Raises ValueError for a pipeline without an
    encoder or a label that its field does not have.
    """
    hybrids = {part.field: part for part in pipeline.components if isinstance(part, HybridComponent)}
    if pipeline.heads is None or not hybrids:
        raise ValueError("only a model with an encoder can learn from corrections")
    found: dict[Field, list[Correction]] = {}
    for one in corrections:
        if one.field not in hybrids or one.label not in hybrids[one.field].labels:
            raise ValueError(f"{one.field} has no label {one.label!r}")
        found.setdefault(one.field, []).append(one)
    fresh = dict(pipeline.heads.heads)
    for field, rows in found.items():
        hybrid = hybrids[field]
        texts = [one.text for one in rows]
        truth = np.zeros((len(rows), len(hybrid.labels)), np.float32)
        truth[np.arange(len(rows)), [hybrid.labels.index(one.label) for one in rows]] = 1
        fixed = hybrid.head.fixed(hybrid.linear.probabilities(texts))
        fresh[field] = _moved(hybrid.head, hybrid.encoder.states(texts), pipeline.heads.middle, fixed, truth)
    return replace(pipeline.heads, name=pipeline.heads.name.rstrip("+") + "+", heads=fresh)


def _moved(head: Head, states: Floats, middle: Floats, fixed: Floats, truth: Floats) -> Head:
    """Minimise the summed -log P(truth) + _PULL / 2 |change|², for centred states whose mean square is _REACH."""
    own = states - middle
    scale = np.float32(np.sqrt(_REACH / np.maximum((own**2).sum(axis=1).mean(), 1e-9)))
    inputs = np.concatenate([own * scale, np.ones((len(own), 1))], axis=1, dtype=np.float32)
    start = head.encoder * (states @ head.weights + head.bias) + fixed
    curvature = np.float32(0.5 * np.linalg.norm(inputs, 2) ** 2 + _PULL)
    change: Floats = np.zeros((inputs.shape[1], truth.shape[1]), np.float32)
    ahead = change
    for step in range(_STEPS):
        slope = inputs.T @ (softmax((start + inputs @ ahead).astype(np.float32)) - truth) + np.float32(_PULL) * ahead
        moved = (ahead - slope / curvature).astype(np.float32)
        ahead = (moved + np.float32(step / (step + 3)) * (moved - change)).astype(np.float32)
        change = moved
    change = change / np.float32(head.encoder)
    weights = change[:-1] * scale
    return replace(
        head,
        weights=(head.weights + weights).astype(np.float32),
        bias=(head.bias + change[-1] - middle @ weights).astype(np.float32),
    )
