"""Hashed character and word n-grams of a batch of texts, computed with a few array operations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nlp.normalize import MAX_CHARS, normalize

_SIZES = (2, 3, 4, 5)
_SPACE = 32
_BASE = np.uint32(0x01000193)  # the 32-bit FNV prime, used as base of a polynomial hash modulo 2**32
_POWERS: NDArray[np.uint32] = np.cumprod(np.full(MAX_CHARS + 2, _BASE, dtype=np.uint32), dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Ngrams:
    """The n-grams of a batch: `hashes` (uint32) of all texts one after another, `counts` (int64) per text."""

    hashes: NDArray[np.uint32]
    counts: NDArray[np.int64]


def _mix(values: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """Spread hash values over all 32 bits (the finalizer of MurmurHash3, public domain)."""
    mixed = values ^ np.uint32((seed * 0x9E3779B1) & 0xFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> np.uint32(16))


def _char_grams(codes: NDArray[np.uint32], grid: NDArray[np.uint32], valid: NDArray[np.bool_]) -> None:
    """Write into `grid` the hash of the n-gram that starts at each character, one column a size.

    An n-gram may begin or end with the space beside a word but never reaches over it.
    """
    space = codes == _SPACE
    spaces = np.concatenate(([0], np.cumsum(space)))
    rolling = codes.copy()
    for column, size in enumerate(_SIZES):
        last = len(codes) - size + 1
        if last <= 0:
            break
        rolling = rolling[:last] * _BASE + codes[size - 1 :]
        inside = spaces[size - 1 : size - 1 + last] - spaces[1 : 1 + last]
        good = inside == 0
        if size == 2:
            good &= ~(space[:-1] & space[1:])
        grid[:last, column] = _mix(rolling, size)
        valid[:last, column] = good


def _word_grams(
    codes: NDArray[np.uint32], owner: NDArray[np.int64], grid: NDArray[np.uint32], valid: NDArray[np.bool_]
) -> None:
    """Write into the last two columns of `grid` the hash of each word and of it with the next one."""
    letter = codes != _SPACE
    begins = np.flatnonzero(letter[1:] & ~letter[:-1]) + 1  # a text always begins with a space
    if not len(begins):
        return
    places = np.flatnonzero(letter)
    starts = np.searchsorted(places, begins)
    offsets = places - np.repeat(begins, np.diff(np.append(starts, len(places))))
    words = np.add.reduceat(codes[places] * _POWERS[offsets], starts)
    grid[begins, -2] = _mix(words, 11)
    valid[begins, -2] = True
    same = owner[begins[:-1]] == owner[begins[1:]]
    pairs = _mix(words[:-1], 12) * _BASE + words[1:]
    grid[begins[:-1], -1] = _mix(pairs, 13)
    valid[begins[:-1], -1] = same


def ngrams(texts: Sequence[str]) -> Ngrams:
    """Hash the character (2-5, within words) and word (1-2) n-grams of texts that are already normal.

    Returns the hashes in the order of the texts. An empty text has none. The hash of an n-gram depends
    on nothing but its characters, so batches and machines agree.
    """
    if not texts:
        return Ngrams(np.empty(0, np.uint32), np.empty(0, np.int64))
    padded = "".join([f" {text} " for text in texts])
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.array([len(text) + 2 for text in texts])
    owner = np.repeat(np.arange(len(texts)), lengths)
    grid = np.zeros((len(codes), len(_SIZES) + 2), dtype=np.uint32)
    valid = np.zeros(grid.shape, dtype=np.bool_)
    _char_grams(codes, grid, valid)
    _word_grams(codes, owner, grid, valid)
    starts = np.cumsum(lengths) - lengths
    counts = np.add.reduceat(valid.sum(axis=1), starts)
    return Ngrams(grid[valid], counts)


@lru_cache(maxsize=4)
def features(texts: tuple[str, ...]) -> Ngrams:
    """Normalise and hash raw texts; the last few batches are kept so that components share the work."""
    return ngrams([normalize(text) for text in texts])
