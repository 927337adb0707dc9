"""The nearest of many vectors: our index, scikit-learn's brute force (cosine), and a plain loop in Python."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from bench.place import PIPELINE
from nlp.suggest import Index, Likeness

SIZE = 640
COUNT = 10


class Drawn(Likeness):
    """The vector of any text is drawn, so that encoding is not measured."""

    def __init__(self) -> None:
        super().__init__(None)
        self._random = np.random.default_rng(7)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors."""
        rows = self._random.normal(size=(len(texts), SIZE)).astype(np.float32)
        result: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return result


async def measure() -> list[dict[str, Any]]:
    """Milliseconds a question, median of several, and how many times longer the others take."""
    rows = []
    real = Likeness(PIPELINE.encoder)
    question = iter(range(10**9))
    encode = _median(lambda: real.vectors([f"bonjour, comment activer mon forfait {next(question)} ?"]), 20)
    for number in (1_000, 10_000, 100_000):
        likeness = Drawn()
        vectors = likeness.vectors([""] * number)
        index: Index[int] = Index(likeness)
        index.put(range(number), vectors)
        other = NearestNeighbors(n_neighbors=COUNT, algorithm="brute", metric="cosine").fit(vectors)
        plain = [row.tolist() for row in vectors[: min(number, 2_000)]]
        wanted = likeness.vectors(["x"])
        ours = _median(lambda index=index: index.nearest("x", COUNT, -1.0), 20)
        theirs = _median(lambda other=other, wanted=wanted: other.kneighbors(wanted), 10)
        loop = _median(lambda plain=plain, wanted=wanted: _loop(plain, wanted[0].tolist()), 3) * number / len(plain)
        rows.append(
            {
                "vectors": number,
                "ours ms": round(ours, 2),
                "scikit-learn ms": round(theirs, 2),
                "times": round(theirs / ours, 1),
                "plain Python ms": round(loop),
                "times ": round(loop / ours),
                "encoding the question ms": round(encode, 1),
                "memory MB": round(number * SIZE * 4 / 1e6, 1),
            }
        )
    return rows


def _loop(rows: list[list[float]], wanted: list[float]) -> list[tuple[float, int]]:
    scores = [(sum(a * b for a, b in zip(row, wanted, strict=True)), place) for place, row in enumerate(rows)]
    return sorted(scores, reverse=True)[:COUNT]


def _median(work: Callable[[], object], times: int) -> float:
    work()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - begin))
    return float(np.median(taken))
