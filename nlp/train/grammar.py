"""Customer messages made from our own grammars, for the languages that no public set covers."""

import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nlp.normalize import normalize

LANGUAGES = ("fr", "en", "ar", "arq-Arab", "arq-Latn")
MIXED = (("arq-Latn", "fr"), ("arq-Arab", "fr"), ("ar", "fr"), ("arq-Latn", "en"))
"""Pairs that people mix in one message; the message counts as written in the first language."""

_FOLDER = Path(__file__).parent / "messages"
_TONE = {"complaint": "negative", "leaving": "negative", "praise": "positive"}
_SHARE = {
    "complaint": 30,
    "question": 16,
    "request": 11,
    "praise": 15,
    "purchase": 9,
    "leaving": 8,
    "leaving/neutral/other": 2,
    "spam": 5,
    "other": 8,
    "other/positive": 2,
    "other/negative": 2,
}
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_OPTION = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its labels; `held_out` ones are never learned from (made ones: their whole template).

    `source` is "made" (by a grammar) or "written" (by hand); `reason` is "" where nothing is complained of or
    nobody said why.
    """

    text: str
    language: str
    intent: str
    sentiment: str
    complaint: str
    held_out: bool
    reason: str = ""
    source: str = "made"


class Grammar:
    """The templates of one language (a TOML file: slots, noise, messages by intent)."""

    def __init__(self, language: str) -> None:
        """Read the file of the language; FileNotFoundError if there is none."""
        stored = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
        self.slots: dict[str, list[str]] = stored["slots"]
        self.pairs: list[tuple[str, str]] = [(old, new) for old, new in stored["noise"]["pairs"]]
        self.messages: dict[str, list[str]] = stored["messages"]
        self.words: dict[str, list[str]] = stored["words"]

    def expand(self, template: str, rng: random.Random) -> str:
        """Fill the slots, options and choices of a template until none is left."""
        while True:
            filled = _SLOT.sub(lambda found: rng.choice(self.slots[found[1]]), template)
            filled = _OPTION.sub(lambda found: found[1] if rng.random() < 0.5 else "", filled)
            filled = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), filled)
            if filled == template:
                return filled
            template = filled

    def envelope(self, text: str, tone: str, rng: random.Random) -> str:
        """Put a greeting before, a courtesy or an emoji after, with the same odds for every intent."""
        if rng.random() < 0.25:
            text = rng.choice(self.slots["hello"]) + rng.choice([", ", " ", " "]) + text
        if rng.random() < 0.15:
            text += rng.choice([" ", ", "]) + rng.choice(self.slots["bye"])
        if tone != "neutral" and rng.random() < 0.12:
            text += " " + rng.choice(self.slots["glad" if tone == "positive" else "sad"])
        return text

    def noise(self, text: str, rng: random.Random) -> str:
        """Spell a message the way it is typed on a phone; half of the messages stay as they are."""
        if rng.random() < 0.5:
            return text
        for old, new in rng.sample(self.pairs, k=max(1, len(self.pairs) // 4)):
            if rng.random() < 0.6:
                text = text.replace(old, new)
        return _slips(text, rng)


def _slips(text: str, rng: random.Random) -> str:
    """Make a few typing slips: a letter twice, missing, swapped or drawn out; punctuation lost."""
    if rng.random() < 0.3:
        text = re.sub(r"[,.،?؟!]", " ", text)
    letters = list(text)
    for place in range(len(letters) - 1):
        if letters[place].isalpha() and rng.random() < 0.015:
            match rng.randrange(4):
                case 0:
                    letters[place] *= 2
                case 1:
                    letters[place] = ""
                case 2:
                    letters[place] *= 4
                case _:
                    letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def _labels(key: str) -> tuple[str, str, str]:
    """Read a key of the messages table: intent, or intent/sentiment[/complaint]."""
    parts = key.split("/")
    intent = parts[0]
    sentiment = parts[1] if len(parts) > 1 else _TONE.get(intent, "neutral")
    complains = intent == "complaint" or (intent == "leaving" and len(parts) == 1)
    return intent, sentiment, "complaint" if complains else "other"


def _make(language: str, grammars: dict[str, Grammar], rng: random.Random) -> Message:
    """Make one message; "a+b" as language mixes a clause of each."""
    first, _, second = language.partition("+")
    grammar = grammars[first]
    key = rng.choices(list(_SHARE), weights=list(_SHARE.values()))[0]
    templates = grammar.messages[key]
    place = rng.randrange(len(templates))
    text = grammar.expand(templates[place], rng)
    intent, sentiment, complaint = _labels(key)
    text = grammar.noise(text, rng)
    if second:
        clauses = [text, grammars[second].expand(rng.choice(grammars[second].messages[key]), rng)]
        rng.shuffle(clauses)
        text = rng.choice([", ", " ", ". "]).join(clauses)
    text = grammar.envelope(text, sentiment, rng)
    return Message(text, first, intent, sentiment, complaint, held_out=not second and place % 9 == 4)


def messages(count: int, seed: int) -> Iterator[Message]:
    """Yield about `count` messages, all different in normal form, the same for the same seed.

    Each of LANGUAGES has the same number, and each pair of MIXED a third of that.
    """
    grammars = {language: Grammar(language) for language in LANGUAGES}
    mixes = [f"{first}+{second}" for first, second in MIXED]
    share = count / (len(LANGUAGES) + len(mixes) / 3)
    seen: set[str] = set()
    for language in (*LANGUAGES, *mixes):
        rng = random.Random(f"{seed} {language}")
        for _ in range(round(share / 3 if "+" in language else share)):
            message = _make(language, grammars, rng)
            normal = normalize(message.text)
            if normal and normal not in seen:
                seen.add(normal)
                yield message


def foreign() -> list[str]:
    """Return sentences in languages that are not ours."""
    sentences: list[str] = tomllib.loads((_FOLDER / "other.toml").read_text(encoding="utf-8"))["sentences"]
    return sentences


def words() -> Iterator[tuple[str, str, str]]:
    """Yield (word or phrase, language, sentiment) for those that tell a sentiment by themselves."""
    for language in LANGUAGES:
        for sentiment, listed in Grammar(language).words.items():
            for word in listed:
                yield word, language, sentiment
