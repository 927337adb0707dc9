"""Why the model says so: the words that weighed most, found by leaving each out."""

import re
from dataclasses import dataclass

from nlp.normalize import MAX_CHARS
from nlp.pipeline import Field, Pipeline

_WORDS = re.compile(r"\S+")
_MOST_WORDS = 60
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class Weight:
    """A word of a text, by its place in characters, and how much the score falls without it (-1 to 1)."""

    start: int
    end: int
    text: str
    weight: float


def why(pipeline: Pipeline, text: str, field: Field) -> tuple[Weight, ...]:
    """Return the words without which the score of the predicted label would change, strongest first.

    Occlusion: the text is analysed again once for each of its first 60 words, without that word. Needs nothing of
    the model but its answers. Empty if the field is not predicted or no word matters by more than 0.02.
    """
    component = next((part for part in pipeline.components if part.field == field), None)
    words = list(_WORDS.finditer(text[:MAX_CHARS]))[:_MOST_WORDS]
    if component is None or not words:
        return ()
    without = [text[: word.start()] + text[word.end() :] for word in words]
    whole, *rest = (getattr(document, field) for document in pipeline.only(field).analyze([text, *without]))
    weights = [
        Weight(word.start(), word.end(), word[0], whole.score - partial.scores[whole.label])
        for word, partial in zip(words, rest, strict=True)
    ]
    return tuple(sorted((one for one in weights if abs(one.weight) >= _LEAST), key=lambda one: -abs(one.weight)))
