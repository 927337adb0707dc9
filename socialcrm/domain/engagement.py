"""What the company decided beforehand: triage rules, reply texts and frequently asked questions; read from TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlp.normalize import normalize

REPLY_KEYS = [
    "greeting",
    "acknowledgement",
    "handover",
    "out_of_hours",
    "survey_question",
    "survey_link",
    "survey_comment",
    "survey_thanks",
    "survey_closed",
    "csat_1",
    "csat_2",
    "csat_3",
    "csat_4",
    "csat_5",
]
SHORT = 4
LANGUAGES = ("fr", "ar", "en", "arq-Arab", "arq-Latn")


class EngagementError(Exception):
    """A file of rules, replies or questions cannot be used: which one, which entry, and what was expected."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Part)


class When(Part):
    """All conditions that are given must hold."""

    language: list[str] = []
    sentiment: list[Literal["negative", "neutral", "positive"]] = []
    complaint: bool | None = None
    intent: list[str] = []
    channel: list[str] = []
    """Names of connectors or keys of channels."""
    kind: list[Literal["direct_message", "comment", "mention", "review"]] = []
    words: tuple[str, ...] = ()
    """Any of these phrases; every word of a phrase must be in the message."""
    hours: str = Field(default="", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    """Local time, end excluded; 22:00-06:00 passes midnight."""
    is_sure: bool | None = None
    """Whether complaint and sentiment were sure."""


class Then(Part):
    team: str = ""
    priority: Literal["", "low", "normal", "high", "urgent"] = ""
    label: list[str] = []
    reply: str = ""
    """Key of a text in config/replies."""
    case: bool = False
    handover: bool = False


class Rule(Part):
    name: str = Field(min_length=1)
    when: When = When()
    then: Then
    stop: bool = False
    """No rule after this one is tried when it fires."""


class Question(Part):
    id: str
    phrases: tuple[str, ...] = Field(min_length=1)
    answers: dict[str, str] = Field(min_length=1)


class Human(Part):
    phrases: tuple[str, ...] = ()


class Book(Part):
    """The file of rules; each rule is checked by itself, so that a mistake in it is named by its number."""

    rules: list[Any] = []
    human: Human = Human()


class Faq(Part):
    """The file of frequently asked questions."""

    entries: list[Any] = []


@dataclass(frozen=True)
class Engagement:
    """Rules in order, human-request phrases, replies by language and key, and the FAQ."""

    rules: tuple[Rule, ...]
    human_phrases: tuple[str, ...]
    replies: Mapping[str, Mapping[str, str]]
    questions: tuple[Question, ...]

    @classmethod
    def load(cls, rules: Path, replies: Path, faq: Path) -> "Engagement":
        """Read the three; raises EngagementError with one sentence."""
        book = _check(Book, _toml(rules), str(rules))
        found = tuple(_check(Rule, entry, f"{rules}, rule {i + 1}") for i, entry in enumerate(book.rules))
        entries = _check(Faq, _toml(faq), str(faq)).entries
        questions = tuple(_check(Question, entry, f"{faq}, entry {i + 1}") for i, entry in enumerate(entries))
        texts = {language: _replies(replies / f"{language}.toml") for language in LANGUAGES}
        for rule in found:
            if rule.then.reply and rule.then.reply not in texts["fr"]:
                raise EngagementError(
                    f"{rules}, rule {rule.name!r}: there is no reply {rule.then.reply!r} in {replies}."
                )
        return cls(found, book.human.phrases, texts, questions)

    def reply(self, language: str, key: str, **values: object) -> str:
        """The text `key` in `language` with its braces filled in."""
        return self.replies[language][key].format(**values)

    def wants_human(self, words: frozenset[str]) -> str | None:
        """The phrase with which somebody asked for a person, if they did. One word alone ("humain") counts in a short
        message only: in a long one it is part of a story."""
        single, longer = compiled(self.human_phrases)
        found = [single[word] for word in single.keys() & words] if len(words) <= SHORT else []
        found += [phrase for phrase, needed in longer if needed <= words]
        return found[0] if found else None

    def question(self, words: frozenset[str]) -> Question | None:
        """The frequently asked question that is asked with these words."""
        for question in self.questions:
            if says_any(question.phrases, words):
                return question
        return None


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


def reply_language(language: str, default: str) -> str:
    """Which of our languages to answer in."""
    return language if language in LANGUAGES else default


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngagementError(f"{path} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EngagementError(f"{path} is not valid TOML: {error}.") from error


def _replies(path: Path) -> dict[str, str]:
    texts = _toml(path)
    missing = [key for key in REPLY_KEYS if not isinstance(texts.get(key), str)]
    if missing:
        raise EngagementError(f"{path} lacks the text {missing[0]!r}.")
    return texts


def _check(model: type[P], entry: Any, where: str) -> P:
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise EngagementError(f"{where}: {key}: {first['msg']} (it is {first['input']!r}).") from error
