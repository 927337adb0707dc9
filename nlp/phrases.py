"""All phrases of one to three words that several documents have, counted with a few array operations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from nlp.normalize import FOREIGN, NUMBER
from nlp.terms import is_stop, stems

WORDS = 3
"""The longest phrase."""

_BITS = 21
_NO_WORD = 0
_LEAST_LETTERS = 3
_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases and who says them: phrase i is said by `documents[starts[i]:starts[i + 1]]`, ascending, each once.

    `words` has one row a phrase: the numbers of its stems in `vocabulary`, 0 after the last. `stem_of` maps every
    normal word to its stem.
    """

    words: _Ints
    starts: _Ints
    documents: _Ints
    vocabulary: tuple[str, ...]
    stem_of: dict[str, str]

    def said_by(self, phrase: int) -> _Ints:
        """The documents that say a phrase."""
        return self.documents[self.starts[phrase] : self.starts[phrase + 1]]

    def stems(self, phrase: int) -> tuple[str, ...]:
        """The stems of a phrase."""
        return tuple(self.vocabulary[number] for number in self.words[phrase] if number != _NO_WORD)


def find(documents: Sequence[Sequence[str]], least: int) -> Phrases:
    """Return the phrases of documents, each a list of tokens (nlp.terms.tokens), that at least `least` of them have.

    A phrase does not reach over a sign, a number or a word said less than `least` times, and begins and ends with a
    word that is no stop word; one of a single word has three letters or a digit. Linear in the number of tokens but for
    one sort of them.
    """
    counts = Counter(chain.from_iterable(documents))
    stem_of = stems({word: count for word, count in counts.items() if _is_word(word)})
    vocabulary = _vocabulary(counts, stem_of, least)
    number_of = {stem: number for number, stem in enumerate(vocabulary)}
    numbers = {word: number_of.get(stem_of.get(word, ""), _NO_WORD) for word in counts}
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
    flat = np.fromiter(
        (numbers[word] for document in documents for word in document), dtype=np.int64, count=lengths.sum()
    )
    owners = np.repeat(np.arange(len(documents)), lengths)
    keys, places = _grams(flat, owners, vocabulary)
    order = np.lexsort((owners[places], keys))
    keys, said_by = keys[order], owners[places][order]
    is_new = np.ones(len(keys), dtype=np.bool_)
    is_new[1:] = (keys[1:] != keys[:-1]) | (said_by[1:] != said_by[:-1])
    return _kept(keys[is_new], said_by[is_new], vocabulary, stem_of, least)


def _is_word(token: str) -> bool:
    return token[0].isalnum() and token != NUMBER and FOREIGN not in token


def _vocabulary(counts: Counter[str], stem_of: dict[str, str], least: int) -> tuple[str, ...]:
    """The stems that can be in a phrase, the most frequent first, after an empty one that stands for all others."""
    totals: Counter[str] = Counter()
    for word, stem in stem_of.items():
        totals[stem] += counts[word]
    frequent = [stem for stem, count in totals.most_common(2**_BITS - 1) if count >= least]
    return ("", *frequent)


def _grams(flat: _Ints, owners: _Ints, vocabulary: Sequence[str]) -> tuple[NDArray[np.uint64], _Ints]:
    """Every phrase in the text: its key, which is the numbers of its stems in 21 bits each, and where it begins."""
    is_content = np.array([False, *(not is_stop(stem) for stem in vocabulary[1:])])
    is_long = np.array([len(stem) >= _LEAST_LETTERS or any(map(str.isdigit, stem)) for stem in vocabulary])
    keys, places = [], []
    begins, key = is_content[flat], flat.astype(np.uint64) << np.uint64(_BITS * (WORDS - 1))
    inside = flat != _NO_WORD  # so far the phrase that begins here is of one clause of one document
    for size in range(1, WORDS + 1):
        last = max(len(flat) - size + 1, 0)
        if size > 1:
            ends = flat[size - 1 :]
            inside = inside[:last] & (ends != _NO_WORD) & (owners[:last] == owners[size - 1 :])
            key = key[:last] | (ends.astype(np.uint64) << np.uint64(_BITS * (WORDS - size)))
        good = inside & begins[:last] & is_content[flat[size - 1 :]]
        if size == 1:
            good &= is_long[flat]
        places.append(np.flatnonzero(good))
        keys.append(key[good])
    return np.concatenate(keys), np.concatenate(places)


def _kept(
    keys: NDArray[np.uint64], said_by: _Ints, vocabulary: tuple[str, ...], stem_of: dict[str, str], least: int
) -> Phrases:
    """The phrases of sorted (key, document) pairs that enough documents say."""
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.empty(0, np.int64)
    counts = np.diff(np.append(starts, len(keys)))
    is_kept = counts >= least
    found = keys[starts[is_kept]]
    mask = np.uint64(2**_BITS - 1)
    columns = [(found >> np.uint64(_BITS * (WORDS - size))) & mask for size in range(1, WORDS + 1)]
    words = np.stack(columns, axis=1).astype(np.int64)
    ends = np.concatenate(([0], np.cumsum(counts[is_kept])))
    return Phrases(words, ends, said_by[np.repeat(is_kept, counts)], vocabulary, stem_of)
