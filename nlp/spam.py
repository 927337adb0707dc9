"""Signs of spam and abuse in a message, each named and weighed, so that people see why."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from nlp.entities import entities
from nlp.normalize import MAX_CHARS, normalize

About: TypeAlias = Literal["spam", "abuse"]
Name: TypeAlias = Literal[
    "link", "short_link", "links", "advert", "contact", "earnings", "loan", "charm", "chain", "runs", "capitals",
    "tags", "copies", "insult",
]  # fmt: skip

LIKELY = 0.6
"""Signals that weigh so much together mean that a message is likely spam, or abusive."""

WEIGHTS: Mapping[Name, float] = {
    "link": 0.3,
    "short_link": 0.4,
    "links": 0.2,
    "advert": 0.3,
    "contact": 0.3,
    "earnings": 0.5,
    "loan": 0.5,
    "charm": 0.6,
    "chain": 0.6,
    "runs": 0.1,
    "capitals": 0.2,
    "tags": 0.2,
    "copies": 0.4,
    "insult": 0.6,
}
"""What each signal adds. `contact`: an advert, earnings or a loan with a phone number or a messenger to write to."""

_KINDS: Mapping[str, Name] = {
    "adverts": "advert",
    "earnings": "earnings",
    "loans": "loan",
    "charms": "charm",
    "chains": "chain",
    "insults": "insult",
}
"""List -> the signal for what is on it."""
_SELLING = frozenset({"adverts", "earnings", "loans", "charms"})
_LISTS = Path(__file__).parent / "lists" / "spam.toml"
_LINK = re.compile(
    r"(?:https?://|www\.)\S{1,300}|\b[\w-]{1,60}(?:\.[\w-]{1,60}){0,3}\.[a-z]{2,6}/\S{1,300}", re.IGNORECASE
)
_HOST = re.compile(r"^(?:https?://)?(?:www\.)?([^/\s?#]+)", re.IGNORECASE)
_RUN = re.compile(r"(.)\1{5,}", re.DOTALL)
_TAG = re.compile(r"(?<!\w)[@#]\w+")
_MOST_WORDS = 5
_MANY_TAGS = 6
_MANY_COPIES = 5
_MANY_LETTERS = 25
_CAPITALS = 0.7


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign: its name, what it speaks for, how much it weighs, and the words or signs it was found in."""

    name: Name
    about: About
    weight: float
    found: str


def signals(text: str, copies: int = 1) -> tuple[Signal, ...]:
    """Return the signs of spam and abuse in a message, the heaviest first.

    `copies` is how many near-duplicates of it there are (nlp.duplicates). Reads the first MAX_CHARS characters. Any str
    is accepted.
    """
    text = text[:MAX_CHARS]
    found = [
        Signal(name, "abuse" if name == "insult" else "spam", WEIGHTS[name], shown)
        for name, shown in (*_of_links(text), *_of_words(text), *_of_looks(text))
    ]
    if copies >= _MANY_COPIES:
        found.append(Signal("copies", "spam", WEIGHTS["copies"], str(copies)))
    return tuple(sorted(found, key=lambda signal: -signal.weight))


def total(found: Iterable[Signal], about: About) -> float:
    """Return how much the signals for spam, or for abuse, weigh together, at most 1; LIKELY is a lot."""
    return min(round(sum(signal.weight for signal in found if signal.about == about), 2), 1.0)


def _of_links(text: str) -> Iterator[tuple[Name, str]]:
    links = _LINK.findall(text)
    hosts = [match[1].lower() for link in links if (match := _HOST.match(link))]
    short = [host for host in hosts if host in _hosts()]
    if short:
        yield "short_link", ", ".join(dict.fromkeys(short))
    elif hosts:
        yield "link", ", ".join(dict.fromkeys(hosts))
    if len(links) > 2:
        yield "links", str(len(links))


def _of_words(text: str) -> Iterator[tuple[Name, str]]:
    said = _phrases(normalize(text).split())
    for kind, name in _KINDS.items():
        if kind in said:
            yield name, said[kind]
    if not _SELLING.isdisjoint(said):
        phones = [entity.kind for entity in entities(text, known={}) if entity.kind in ("phone", "email")]
        if phones or "messengers" in said:
            yield "contact", said.get("messengers") or phones[0]


def _of_looks(text: str) -> Iterator[tuple[Name, str]]:
    if run := _RUN.search(text):
        yield "runs", run[0][:10]
    letters = [sign for sign in _LINK.sub("", text) if sign.isalpha()]
    if len(letters) >= _MANY_LETTERS and sum(map(str.isupper, letters)) >= _CAPITALS * len(letters):
        yield "capitals", f"{sum(map(str.isupper, letters)) / len(letters):.0%}"
    tags = _TAG.findall(text)
    if len(tags) >= _MANY_TAGS:
        yield "tags", " ".join(tags[:3])


def _phrases(words: list[str]) -> dict[str, str]:
    """The kinds of listed phrases that are said, each with those found, as the list spells them."""
    listed = _listed()
    found: dict[str, dict[str, None]] = {}
    for start in range(len(words)):
        for end in range(start + 1, min(start + _MOST_WORDS, len(words)) + 1):
            for kind, phrase in listed.get(tuple(words[start:end]), ()):
                found.setdefault(kind, {})[phrase] = None
    return {kind: ", ".join(phrases) for kind, phrases in found.items()}


@lru_cache
def _lists() -> Mapping[str, list[str]]:
    stored = tomllib.loads(_LISTS.read_text(encoding="utf-8"))
    return {kind: [line for line in lines.splitlines() if line] for kind, lines in stored.items()}


@lru_cache
def _hosts() -> frozenset[str]:
    return frozenset(_lists()["shorteners"])


@lru_cache
def _listed() -> Mapping[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The normal words of each phrase -> the lists it is on, with the phrase as it stands there."""
    found: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}
    for kind, phrases in _lists().items():
        for phrase in phrases:
            words = tuple(normalize(phrase).split())
            if kind not in dict(found.get(words, ())):  # two spellings of the same words are one phrase
                found[words] = (*found.get(words, ()), (kind, phrase))
    return found
