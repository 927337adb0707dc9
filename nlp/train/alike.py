"""The projection for likeness: from the states of the fine-tuned encoder back to what its base meant by a text."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp.onnx import Encoder

_RIDGE = 1.0


def projection(encoder: Encoder, sample: Path) -> NDArray[np.float32]:
    """Return (hidden + 1, hidden), the last row a bias, fitted on the texts and vectors that nlp.train.likeness wrote.

    Ridge regression on the whitened vectors: any two vectors of the base have a cosine of 0.7 or more, and most of the
    rest tells the language. A projection that learned these parts alone would look right and find nothing.
    """
    if not sample.is_file():  # the stage was left out: states as they are
        return np.eye(encoder.hidden + 1, encoder.hidden, dtype=np.float32)
    with np.load(sample) as stored:
        texts, vectors = stored["texts"].tolist(), stored["vectors"].astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-9)
    states = np.concatenate([encoder.states(texts), np.ones((len(texts), 1))], axis=1, dtype=np.float64)
    penalty = _RIDGE * np.eye(states.shape[1])
    penalty[-1, -1] = 0
    result: NDArray[np.float32] = np.linalg.solve(states.T @ states + penalty, states.T @ wanted).astype(np.float32)
    return result
