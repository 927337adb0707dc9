"""What a text is about, whatever its language: which of the concepts in lists/concepts.toml its words stand for."""

import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlp.normalize import normalize

_LIST = Path(__file__).parent / "lists" / "concepts.toml"
_WEIGHTS = {"asking": 0.4, "matters": 1.0}
_LONGEST = 4  # words of a phrase
_BEFORE = ("وال", "بال", "فال", "كال", "لل", "ال", "و", "ف", "ب", "ل", "ك")
_LEAST = 3  # letters that stay when one of these goes


@dataclass(frozen=True)
class _Book:
    """The list, ready to look words up: `whole` and `begins` give the places of concepts, `weights` one a place."""

    whole: dict[str, tuple[int, ...]]
    begins: dict[str, tuple[int, ...]]
    shortest: int
    longest: int
    weights: NDArray[np.float32]


@cache
def _book() -> _Book:
    sections = tomllib.loads(_LIST.read_text(encoding="utf-8"))
    whole: dict[str, set[int]] = {}
    begins: dict[str, set[int]] = {}
    weights: list[float] = []
    for section, weight in _WEIGHTS.items():
        for words in sections[section].values():
            for word in words.split():
                kept = normalize(word.rstrip("*").replace("_", " "))
                (begins if word.endswith("*") else whole).setdefault(kept, set()).add(len(weights))
            weights.append(weight)
    lengths = [len(word) for word in begins]
    return _Book(
        {word: tuple(sorted(places)) for word, places in whole.items()},
        {word: tuple(sorted(places)) for word, places in begins.items()},
        min(lengths),
        max(lengths),
        np.array(weights, dtype=np.float32),
    )


@cache
def version() -> str:
    """Return a short name that changes with the list."""
    return f"{zlib.crc32(_LIST.read_bytes()):08x}"


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return (texts, concepts) vectors of length 1; of a text about nothing on the list, 0."""
    book = _book()
    table = np.zeros((len(texts), len(book.weights)), dtype=np.float32)
    for row, text in enumerate(texts):
        for place in _found(book, normalize(text).split()):
            table[row, place] = book.weights[place]
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    result: NDArray[np.float32] = table / np.maximum(lengths, 1e-9)
    return result


def _found(book: _Book, words: Sequence[str]) -> Iterator[int]:
    for start, word in enumerate(words):
        for form in _forms(word):
            yield from book.whole.get(form, ())
            for length in range(book.shortest, min(len(form), book.longest) + 1):
                yield from book.begins.get(form[:length], ())
        for end in range(start + 2, min(start + _LONGEST, len(words)) + 1):
            yield from book.whole.get(" ".join(words[start:end]), ())


def _forms(word: str) -> Iterator[str]:
    """The word, and what is left of it without what Arabic writes together with the next word."""
    yield word
    for before in _BEFORE:
        if word.startswith(before) and len(word) - len(before) >= _LEAST:
            yield word[len(before) :]
