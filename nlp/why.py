"""Why the model says so: the words that weighed most, found by leaving words out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nlp.normalize import MAX_CHARS
from nlp.pipeline import Field, Pipeline

_WORDS = re.compile(r"\S+")
_MOST_WORDS = 60
_LEAST = 0.02
_READINGS = 160  # of the text, about
_SEED = 7


@dataclass(frozen=True, slots=True)
class Weight:
    """A word of a text, by its place in characters, and how much the score falls without it (-1 to 1)."""

    start: int
    end: int
    text: str
    weight: float


def why(pipeline: Pipeline, text: str, field: Field) -> tuple[Weight, ...]:
    """Return the words that the score of the predicted label rests on, strongest first.

    The words (the first 60) are taken out one after another, in some random orders and their reverses; the weight of a
    word is how much the score falls when it goes, on average over the orders: its Shapley value (Castro, Gómez and
    Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009). So of two words that say the same
    both count, while leaving out one alone changes nothing. All weights together are the score less that of the text
    without its words. Needs nothing of the model but its answers; the same text always gets the same weights. Empty if
    the field is not predicted or no word weighs 0.02.
    """
    component = next((part for part in pipeline.components if part.field == field), None)
    words = list(_WORDS.finditer(text[:MAX_CHARS]))[:_MOST_WORDS]
    if component is None or not words:
        return ()
    orders = _orders(len(words))
    left = [[_without(text, words, order[:count]) for count in range(len(order) + 1)] for order in orders]
    distinct = list(dict.fromkeys(one for texts in left for one in texts))
    found = [getattr(document, field) for document in pipeline.only(field).analyze(distinct)]
    label = found[0].label  # of the whole text, which comes first
    scores = {one: prediction.scores[label] for one, prediction in zip(distinct, found, strict=True)}
    falls = np.zeros(len(words))
    for order, texts in zip(orders, left, strict=True):
        falls[list(order)] -= np.diff([scores[one] for one in texts])
    weights = [
        Weight(word.start(), word.end(), word[0], float(fall))
        for word, fall in zip(words, falls / len(orders), strict=True)
    ]
    return tuple(sorted((one for one in weights if abs(one.weight) >= _LEAST), key=lambda one: -abs(one.weight)))


def _orders(count: int) -> list[list[int]]:
    """Orders in which so many words go, each with its reverse: first in one is last in the other."""
    random = np.random.default_rng(_SEED)
    drawn = [random.permutation(count).tolist() for _ in range(max(1, _READINGS // (2 * count)))]
    return [order for one in drawn for order in (one, one[::-1])]


def _without(text: str, words: Sequence[re.Match[str]], gone: Iterable[int]) -> str:
    """Return the text without some of its words."""
    pieces, last = [], 0
    for place in sorted(gone):
        pieces.append(text[last : words[place].start()])
        last = words[place].end()
    return "".join([*pieces, text[last:]])
