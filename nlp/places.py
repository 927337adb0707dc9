"""Places in a text, by a list of their names."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from nlp.normalize import normalize
from nlp.signs import Mark

Gazetteer: TypeAlias = Mapping[tuple[str, ...], str]
"""The normal words of a name -> the place."""

WILAYAS = Path(__file__).parent / "lists" / "wilayas.tsv"
"""The 58 wilayas of Algeria in French, Arabic and the spellings that people use."""

_WORD = re.compile(r"[^\W\d_]+")
_CLITICS = "وفبل"
_MOST_WORDS = 4


@lru_cache
def gazetteer(path: Path = WILAYAS) -> Gazetteer:
    """Read a list of places: one a line, its value, then its names, separated by tabs; # begins a comment.

    Raises OSError if it cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    return {_key(name): value for value, *names in entries for name in (value, *names)}


def places(text: str, known: Gazetteer) -> list[Mark]:
    """Return the places that a seen text names, the longest name first at each word.

    Case, accents and Arabic letter variants make no difference, nor does one of و ف ب ل before an Arabic name.
    """
    words = list(_WORD.finditer(text))
    normal = [normalize(word[0]) for word in words]
    found, place = [], 0
    while place < len(words):
        for size in range(min(_MOST_WORDS, len(words) - place), 0, -1):
            key = tuple(normal[place : place + size])
            value = known.get(key) or (known.get((key[0][1:], *key[1:])) if key[0][:1] in _CLITICS else None)
            if value:
                found.append(Mark("place", words[place].start(), words[place + size - 1].end(), value))
                break
        else:
            size = 1
        place += size
    return found


def _key(name: str) -> tuple[str, ...]:
    return tuple(normalize(word) for word in _WORD.findall(name))
