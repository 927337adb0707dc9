"""Words as topics count them: spellings of one word brought together, and words that tell nothing."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from nlp.normalize import MAX_CHARS, normalize

PAUSE = "!"
"""Stands for the end of a clause: no phrase reaches over it, nor over any other sign of the normal form."""

_LISTS = Path(__file__).parent / "lists"
_PAUSES = re.compile(r"[.,;:…)\]\"»](?=\s|$)|(?<!\S)[-–—(\[\"«]|[\n،؛۔]")
_ARTICLE = "ال"
_CLITICS = "وفبلك"
_WITH_ARTICLE = "وفبكع"  # ع is what Darija leaves of على: عالخط
_LEAST = 3
_LEAST_LATIN = 4


def tokens(text: str) -> list[str]:
    """Return the words and signs of the normal form of a text, with a PAUSE where a clause ends."""
    return normalize(_PAUSES.sub(f" {PAUSE} ", text[:MAX_CHARS])).split()


@lru_cache
def stop_words() -> frozenset[str]:
    """Return the words of all our languages that tell nothing of a subject, in normal form."""
    lists = tomllib.loads((_LISTS / "stopwords.toml").read_text(encoding="utf-8"))
    return frozenset(word for words in lists.values() for line in words.splitlines() for word in tokens(line))


def is_stop(word: str) -> bool:
    """Tell whether a normal word tells nothing of a subject: one letter, on a list, or و before one of a list."""
    return len(word) == 1 or word in stop_words() or (word[0] == "و" and word[1:] in stop_words())


def stems(counts: Mapping[str, int]) -> dict[str, str]:
    """Return what stands for each normal word, given how often each of them was said.

    The Arabic article goes where three letters remain (الفيبر, فيبر). و ف ب ل ك are letters of many words too (بنك,
    كتاب), so one goes only if the rest is a word that people say: before an article at all (بالفيبر), otherwise more
    often than the whole (وفيبر). So does the article l or el of Darija in Latin letters (lconnexion) and the s of a
    plural whose singular is said (factures). One look at each word, so linear in their number.
    """
    said: Counter[str] = Counter()
    for word, count in counts.items():
        said[_without_article(word)] += count
    return {word: _stem(word, said) for word in counts}


def _without_article(word: str) -> str:
    return word[2:] if word.startswith(_ARTICLE) and len(word) >= len(_ARTICLE) + _LEAST else word


def _stem(word: str, said: Mapping[str, int]) -> str:
    rest = _without_article(word)
    if rest != word:
        return rest
    if word[0] < "\u0600":
        return _latin_stem(word, said)
    rest = word[1:]
    if word[0] in _WITH_ARTICLE and rest.startswith(_ARTICLE) and rest[2:] in said:
        return rest[2:]
    if word.startswith("لل") and len(word) > _LEAST and word[2:] in said:
        return word[2:]
    if word[0] in _CLITICS and len(rest) >= _LEAST and said.get(rest, 0) > said.get(word, 0):
        return _stem(rest, said)
    return word


def _latin_stem(word: str, said: Mapping[str, int]) -> str:
    if len(word) > _LEAST_LATIN and word.endswith("s") and word[:-1] in said:
        return word[:-1]
    for article in ("l", "el"):
        rest = word.removeprefix(article)
        if len(rest) >= _LEAST_LATIN and said.get(rest, 0) > said.get(word, 0):
            return rest
    return word
