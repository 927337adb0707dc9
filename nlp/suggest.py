"""Which known texts are most like a new one: for suggesting an answer that was given before, or one of the FAQ."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from nlp import concepts
from nlp.features import features

NGRAMS = 256
"""Places into which the n-grams of a text are hashed."""
Shares: TypeAlias = tuple[float, float, float]
"""What meaning to the encoder, spelling and concepts add to a score: together 1."""
MIXED: Shares = (0.4, 0.1, 0.5)
"""Those that are used; docs/suggestions.md says how they were found."""
PLAIN: Shares = (0.0, 0.3, 0.7)
"""The same where there is no encoder."""
FLOORS = {MIXED: (0.38, 0.55), PLAIN: (0.45, 0.65)}
"""Scores below which something else is meant, mostly: by a text of the FAQ, and by an earlier question. Questions in
one language are alike in more than what they ask, so an earlier one has to be nearer."""

_FIRST = 64
_BATCH = 512
_SIGN = np.uint32(31)

K = TypeVar("K", bound=Hashable)


class Encoder(Protocol):
    """Turns texts into vectors of length 1 that are near where the texts mean the same (`nlp.onnx.Encoder`)."""

    @property
    def name(self) -> str:
        """Changes with the vectors."""
        ...

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, hidden) vectors of length 1, in the order of the texts."""
        ...


@dataclass(frozen=True, slots=True)
class Hit(Generic[K]):
    """A known text: the key it was added under, and how like it is, 1 for the same."""

    key: K
    score: float


class Likeness:
    """Turns texts into vectors whose dot product says how alike the texts are: in what they mean to the encoder, in how
    they are spelt, and in the concepts that they name. Without an encoder the other two decide."""

    def __init__(self, encoder: Encoder | None, shares: Shares | None = None) -> None:
        """Keep the encoder; threads may share it. Other shares than the usual ones have no floors."""
        self._encoder = encoder
        self._shares = shares or (MIXED if encoder else PLAIN)

    @property
    def name(self) -> str:
        """Changes with the vectors: those of two names cannot be compared."""
        encoder = self._encoder.name if self._encoder else "none"
        return f"{encoder}+ngrams-{NGRAMS}+concepts-{concepts.version()}+{self._shares}"

    @property
    def floor(self) -> float:
        """The least score with which a text of the FAQ is worth showing."""
        return FLOORS[self._shares][0]

    @property
    def question_floor(self) -> float:
        """The least score with which the answer to an earlier question is worth showing."""
        return FLOORS[self._shares][1]

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (texts, size) float32 vectors, in the order of the texts. A text that names no concept has a length
        below 1, so that it is never very like another. CPU-bound: call it off the event loop."""
        starts = range(0, max(len(texts), 1), _BATCH)
        return np.concatenate([self._batch(texts[start : start + _BATCH]) for start in starts])

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        parts = (self._meaning, _spelling, concepts.vectors)
        weighed = [np.sqrt(share) * part(texts) for share, part in zip(self._shares, parts, strict=True) if share]
        return np.concatenate(weighed, axis=1, dtype=np.float32)

    def _meaning(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._encoder is None:
            raise ValueError("without an encoder nothing is known of the meaning: its share has to be 0")
        return self._encoder.vectors(texts)


def _spelling(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return (texts, NGRAMS) vectors of length 1, or 0: hashed n-grams with a hashed sign, so that those that share a
    place cancel out on average (Weinberger et al., "Feature hashing for large scale multitask learning", 2009)."""
    grams = features(tuple(texts))
    owners = np.repeat(np.arange(len(texts)), grams.counts)
    signs = np.where(grams.hashes >> _SIGN, 1.0, -1.0)
    places = owners * NGRAMS + grams.hashes % np.uint32(NGRAMS)
    table = np.bincount(places, signs, len(texts) * NGRAMS).reshape(-1, NGRAMS)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    result: NDArray[np.float32] = (table / np.maximum(lengths, 1e-9)).astype(np.float32)
    return result


def pack(vectors: NDArray[np.float32]) -> list[bytes]:
    """Return each row of (texts, size) as bytes: float16, little-endian. Scores change by less than 0.001."""
    return [row.tobytes() for row in vectors.astype("<f2")]


def unpack(rows: Sequence[bytes]) -> NDArray[np.float32]:
    """Return the (texts, size) vectors that `pack` wrote. Raises ValueError when their sizes differ."""
    if not rows:
        return np.empty((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(rows), dtype="<f2").reshape(len(rows), -1).astype(np.float32)


class Index(Generic[K]):
    """Keys with vectors, and which of them are nearest to a text: exact, for every vector is looked at.

    Vectors are held as float32, for numpy multiplies float16 some twenty times more slowly. Threads may share it.
    """

    def __init__(self, likeness: Likeness) -> None:
        """Begin empty."""
        self._likeness = likeness
        self._lock = Lock()
        self._keys: list[K] = []
        self._rows: dict[K, int] = {}
        self._matrix = np.empty((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def add(self, keys: Sequence[K], texts: Sequence[str]) -> None:
        """Add texts under keys, as many as there are; a key that is there already gets the new text."""
        self.put(keys, self._likeness.vectors(texts))

    def put(self, keys: Sequence[K], vectors: NDArray[np.float32]) -> None:
        """Add (keys, size) vectors that this index's likeness made before. Raises ValueError for any other form."""
        if len(keys) != len(vectors):
            raise ValueError(f"{len(keys)} keys have {len(vectors)} vectors")
        if not keys:
            return
        with self._lock:
            fresh = [key for key in dict.fromkeys(keys) if key not in self._rows]
            self._grow(len(self._keys) + len(fresh), vectors.shape[1])
            for key in fresh:
                self._rows[key] = len(self._keys)
                self._keys.append(key)
            self._matrix[[self._rows[key] for key in keys]] = vectors

    def remove(self, keys: Sequence[K]) -> None:
        """Forget keys; one that is not there is nothing to forget."""
        with self._lock:
            for key in keys:
                row = self._rows.pop(key, None)
                if row is None:
                    continue
                last = self._keys.pop()
                if last != key:  # the last one moves into the gap
                    self._keys[row], self._rows[last] = last, row
                    self._matrix[row] = self._matrix[len(self._keys)]

    def nearest(self, text: str, count: int, floor: float) -> list[Hit[K]]:
        """Return at most `count` keys whose text has a score of at least `floor`, the likest first."""
        vector = self._likeness.vectors([text])[0]
        with self._lock:
            keys = len(self._keys)
            if not keys or count < 1:
                return []
            scores = self._matrix[:keys] @ vector
            best = np.argpartition(-scores, count - 1)[:count] if count < keys else np.arange(keys)
            best = best[np.argsort(-scores[best], kind="stable")]
            return [Hit(self._keys[row], float(scores[row])) for row in best if scores[row] >= floor]

    def _grow(self, rows: int, size: int) -> None:
        """Make room for so many rows: doubled, so that adding one by one copies each row twice at most."""
        room, width = self._matrix.shape
        if room and width != size:
            raise ValueError(f"vectors of {size} numbers do not go with those of {width}")
        if rows > room:
            grown = np.empty((max(rows, 2 * room, _FIRST), size), dtype=np.float32)
            if room:
                grown[:room] = self._matrix
            self._matrix = grown
