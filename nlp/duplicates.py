"""Near-duplicates: messages that are one text forwarded, copied or sent again with small changes."""

import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nlp.normalize import normalize

BITS = 64
DISTANCE = 12
"""Fingerprints that differ in at most so many of their 64 bits may be of one text."""
SHARED = 0.7
"""They are, if the two texts have at least this part of their words in common."""
SHORT = 5
"""A text with fewer words is too short for a fingerprint."""

_SPACE = 32
_BLOCK = 8
_CROWD = 32
_CHUNK = 200_000
_WORDS = re.compile(r"[^\W\d_]\w*")
_BASE = np.uint64(0x100000001B3)  # the 64-bit FNV prime, as base of a polynomial hash modulo 2**64
_PAIRS = tuple(combinations(range(BITS // _BLOCK), 2))


def group(texts: Sequence[str], authors: Sequence[Hashable] | None = None) -> list[int]:
    """Return the group of each text: equal numbers are one text with small changes; groups count from 0 in order.

    The first text of a group stands for it: a later one joins the nearest such text whose fingerprint differs in at
    most DISTANCE bits, if they share their words too. Case, accents, links, numbers and emoji make no difference.
    Texts of fewer than SHORT words are one group only when their normal forms are equal, and, if `authors` is given
    (one a text), when one person wrote them: "merci" from two people is said twice. A text without words is a group of
    its own. Takes time about linear in the number of texts. Raises ValueError when authors and texts differ in number.
    """
    if authors is not None and len(authors) != len(texts):
        raise ValueError(f"{len(texts)} texts have {len(authors)} authors")
    forms = [normalize(text) for text in texts]
    bare = [" ".join(_WORDS.findall(form)) for form in forms]
    is_long = [form.count(" ") >= SHORT - 1 for form in bare]
    distinct = list(dict.fromkeys(form for form, long in zip(bare, is_long, strict=True) if long))
    first = dict(zip(distinct, _firsts(distinct, fingerprints(distinct)), strict=True))
    numbers: dict[Hashable, int] = {}
    found = []
    for place, (form, long) in enumerate(zip(forms, is_long, strict=True)):
        key: Hashable = first[bare[place]] if long else (form or place, authors[place] if authors else None)
        found.append(numbers.setdefault(key, len(numbers)))
    return found


def fingerprints(forms: Sequence[str]) -> NDArray[np.uint64]:
    """Return the 64-bit SimHash of each form: words with single spaces between them, at least one.

    Each bit is the majority of that bit in the hashes of the form's shingles (Charikar, "Similarity estimation
    techniques from rounding algorithms", 2002), so forms that have most shingles in common differ in few bits.
    """
    found = [_simhash(forms[start:end]) for start, end in _chunks(forms)]
    return np.concatenate(found) if found else np.empty(0, np.uint64)


def shingles(forms: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of the shingles of all forms one after another, and how many each form has.

    A shingle is a letter with its two neighbours in the word, so a word that is changed touches no shingle of another.
    """
    padded = "".join([f" {form} " for form in forms])
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    hashes = _mix((codes[:-2] * _BASE + codes[1:-1]) * _BASE + codes[2:])[codes[1:-1] != _SPACE]
    return hashes, np.array([len(form) - form.count(" ") for form in forms])


def _chunks(forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Cut forms into stretches of bounded size, so that memory stays bounded."""
    start = size = 0
    for place, form in enumerate(forms):
        size += len(form)
        if size > _CHUNK:
            yield start, place + 1
            start, size = place + 1, 0
    if start < len(forms):
        yield start, len(forms)


def _simhash(forms: Sequence[str]) -> NDArray[np.uint64]:
    hashes, counts = shingles(forms)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1)
    sums = np.add.reduceat(bits, np.cumsum(counts) - counts, axis=0, dtype=np.int32)
    return np.packbits(2 * sums > counts[:, None], axis=1).view(np.uint64).ravel()


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread hash values over all 64 bits (the finalizer of SplitMix64, public domain)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _keys(prints: NDArray[np.uint64]) -> NDArray[np.int64]:
    """One column per pair of 8-bit blocks: the pair's number and the two blocks. Prints that differ in at most six
    bits share a key for certain, as two of the eight blocks are the same; nearly all do that differ in ten."""
    blocks = prints.view(np.uint8).reshape(-1, BITS // _BLOCK).astype(np.int64)
    columns = [(number << 16) | (blocks[:, i] << 8) | blocks[:, j] for number, (i, j) in enumerate(_PAIRS)]
    return np.stack(columns, axis=1)


def _firsts(forms: Sequence[str], prints: NDArray[np.uint64]) -> list[int]:
    """For each form the place of the one that stands for its group, which may be itself.

    At most _CROWD firsts are kept under a key, so the work for a form is bounded.
    """
    firsts: list[int] = []
    known: dict[int, list[int]] = {}
    signs = prints.tolist()
    for place, (sign, keys) in enumerate(zip(signs, _keys(prints).tolist(), strict=True)):
        candidates = {other for key in keys for other in known.get(key, ())}
        near = sorted((d, other) for other in candidates if (d := (sign ^ signs[other]).bit_count()) <= DISTANCE)
        first = next((other for _, other in near if _shares(forms[place], forms[other])), place)
        if first == place:
            for key in keys:
                crowd = known.setdefault(key, [])
                if len(crowd) < _CROWD:
                    crowd.append(place)
        firsts.append(first)
    return firsts


def _shares(one: str, other: str) -> bool:
    """Whether two forms have most of their words in common; fingerprints can be near by chance."""
    words, others = set(one.split()), set(other.split())
    return len(words & others) >= SHARED * len(words | others)
