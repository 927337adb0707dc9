"""The default back end: multinomial logistic regression on hashed n-grams, with numpy alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp.features import Ngrams, features
from nlp.pipeline import Document, Field, Prediction

GENERATION = "linear-1"
NOTHING_SAID: dict[Field, str] = {
    "language": "other",
    "sentiment": "neutral",
    "complaint": "other",
    "intent": "other",
    "reason": "other",
}
"""The label of a text in which nothing is left to read (empty, only mentions, only punctuation)."""


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn rows of logits into rows of probabilities; minus infinity becomes 0."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def gather(grams: Ngrams, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return for each text the sum of the weight rows of its n-grams over the root of their number.

    `weights` is (buckets, labels) with buckets a power of two; the result is (texts, labels). Where all
    n-grams differ this is the product with the L2-normalised count vector of the text.
    """
    sums = np.zeros((len(grams.counts), weights.shape[1]), dtype=np.float32)
    spoken = grams.counts > 0
    if spoken.any():
        counts = grams.counts[spoken]
        rows = weights[grams.hashes & np.uint32(len(weights) - 1)]
        totals = np.add.reduceat(rows, np.cumsum(counts) - counts, axis=0)
        sums[spoken] = totals / np.sqrt(counts)[:, None].astype(np.float32)
    return sums


@dataclass(frozen=True, eq=False)
class LinearComponent:
    """A linear classifier for one field of a document.

    `weights` is (buckets, labels) float32, `bias` (labels,), both before division by `temperature`.
    """

    field: Field
    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float

    @classmethod
    def load(cls, path: Path, field: Field) -> "LinearComponent":
        """Read a weights file (see save); ValueError if it is for another field or not such a file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                if str(stored["field"]) != field:
                    raise ValueError(f"{path} holds weights for {stored['field']}, not for {field}")
                weights = stored["weights"].astype(np.float32) * stored["scale"].astype(np.float32)
                labels = tuple(str(label) for label in stored["labels"])
                return cls(field, labels, weights, stored["bias"].astype(np.float32), float(stored["temperature"]))
        except KeyError as error:
            raise ValueError(f"{path} is not a weights file: {error}") from error

    def save(self, path: Path) -> None:
        """Write the weights as 8-bit integers with one scale a label (about 0.5 % error a weight)."""
        scale = np.maximum(np.abs(self.weights).max(axis=0), 1e-9) / 127
        np.savez_compressed(
            path,
            field=np.array(self.field),
            labels=np.array(self.labels),
            weights=np.round(self.weights / scale).astype(np.int8),
            scale=scale.astype(np.float32),
            bias=self.bias.astype(np.float32),
            temperature=np.array(self.temperature),
        )

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, labels) probabilities of raw texts.

        A text in which nothing is left to read gets the label of NOTHING_SAID with a low score: half the
        mass on it, the other half spread over all labels.
        """
        grams = features(tuple(texts))
        result = softmax((gather(grams, self.weights) + self.bias) / np.float32(self.temperature))
        silent = grams.counts == 0
        if silent.any():
            prior = np.full(len(self.labels), 0.5 / len(self.labels), dtype=np.float32)
            prior[self.labels.index(NOTHING_SAID[self.field])] += 0.5
            result[silent] = prior
        return result

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        """Return one prediction a document, in the same order."""
        rows = self.probabilities([document.text for document in documents]).tolist()
        model = f"{GENERATION}/{self.field}"
        predictions = []
        for row in rows:
            scores = dict(zip(self.labels, row, strict=True))
            label = max(scores, key=scores.__getitem__)
            predictions.append(Prediction(label, scores[label], scores, model))
        return predictions
