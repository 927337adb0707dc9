"""A text as a reader sees it: without signs that nobody sees, and with the digits of all scripts as 0 to 9."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "phone", "email", "card", "account", "number", "case", "order", "amount", "date", "time", "place"
]
"""What a stretch of a text can be. A "number" is long and none of the others: an identity card, or a phone number that
was typed with a slip."""

BLOT = "\ufffc"
"""Neither letter, digit nor space: stands for a sign that is accounted for."""

_UNSEEN = ("Cf", "Mn", "Me")  # bidi and zero-width signs; marks above letters; the frames of keycap emoji
_FILLERS = "\u115f\u1160\u3164\uffa0"  # letters of Hangul that are drawn as nothing


class Mark(NamedTuple):
    """A stretch of a seen text, what it is, and its normal form."""

    kind: Kind
    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A text as it is seen, and the place in the original of each of its signs."""

    text: str
    places: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original the signs from `start` to `end`, at least one, are."""
        return self.places[start], self.places[end - 1] + 1


def seen(text: str) -> Seen:
    """Return a text as it is seen; time grows with its length. Accents stay only on letters that are one sign."""
    if text.isascii():
        return Seen(text, range(len(text)))
    pieces = [_shown(sign) for sign in text]
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    return Seen("".join(pieces), places)


def without(text: str, marks: Iterable[Mark]) -> str:
    """Return a seen text of the same length in which marks that do not overlap are blotted out."""
    pieces, end = [], 0
    for mark in sorted(marks, key=lambda mark: mark.start):
        pieces += [text[end : mark.start], BLOT * (mark.end - mark.start)]
        end = mark.end
    return "".join([*pieces, text[end:]])


@lru_cache(maxsize=4096)
def _shown(sign: str) -> str:
    if unicodedata.category(sign) in _UNSEEN or sign in _FILLERS:
        return ""
    digit = unicodedata.digit(sign, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", sign)  # full-width letters, ⑩
    return folded if folded.isascii() else sign
