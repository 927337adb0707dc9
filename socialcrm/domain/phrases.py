"""Phrases that are looked for in messages: by their words, whatever the order, case, accents and letters."""

from functools import lru_cache

from nlp.normalize import normalize


def word_set(text: str) -> frozenset[str]:
    """The words of a text without case, accents and Arabic letter variants."""
    return frozenset(normalize(text).split())


@lru_cache(maxsize=1000)
def compiled(phrases: tuple[str, ...]) -> tuple[dict[str, str], list[tuple[str, frozenset[str]]]]:
    """Phrases made quick to look for: those of one word by that word, and the others with their words."""
    sets = [(phrase, word_set(phrase)) for phrase in phrases]
    single = {next(iter(words)): phrase for phrase, words in sets if len(words) == 1}
    return single, [(phrase, words) for phrase, words in sets if len(words) > 1]


def says_any(phrases: tuple[str, ...], words: frozenset[str]) -> bool:
    """Whether all words of any of the phrases are among `words`."""
    single, longer = compiled(phrases)
    return not words.isdisjoint(single) or any(needed <= words for _, needed in longer)


def said_phrase(phrases: tuple[str, ...], words: frozenset[str]) -> str:
    """The first phrase whose words are all among `words`; empty when there is none."""
    single, longer = compiled(phrases)
    found = [single[word] for word in single.keys() & words] or [phrase for phrase, needed in longer if needed <= words]
    return min(found, key=phrases.index) if found else ""
