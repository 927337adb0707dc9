"""What the company decided beforehand: triage rules, reply texts and frequently asked questions; read from TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from socialcrm.domain.phrases import compiled, says_any
from socialcrm.domain.phrases import word_set as word_set
from socialcrm.domain.rulebook import LANGUAGES as LANGUAGES
from socialcrm.domain.rulebook import Body, RuleError, Text
from socialcrm.domain.rulebook import read as read_rule

REPLY_KEYS = [
    "greeting",
    "acknowledgement",
    "handover",
    "out_of_hours",
    "survey_question",
    "survey_comment",
    "survey_thanks",
    "survey_closed",
    "csat_1",
    "csat_2",
    "csat_3",
    "csat_4",
    "csat_5",
    "answer_by_number",
    "answer_by_numbers",
    "nps_question",
    "nps_low",
    "nps_high",
    "ces_question",
    "ces_low",
    "ces_high",
    "case_question",
    "case_yes",
    "case_no",
    "survey_by_number",
    "survey_by_link",
    "survey_form",
    "survey_reminder",
    "survey_sorry",
    "survey_text",
    "survey_skip",
    "survey_yes",
    "survey_no",
    "opinion_perfect",
    "opinion_passable",
    "opinion_bad",
    "opinion_none",
    "case_working",
    "case_waiting_customer",
    "case_waiting_outside",
    "case_delay",
    "case_because",
    "case_because_incident",
    "case_solved",
    "case_reminder",
    "case_thanks",
    "case_reopened",
    "case_silent",
    "case_closed",
    "case_merged",
    "case_public",
    "opening_line",
    "queue_place",
    "bot_yes",
    "bot_no",
    "bot_retry_choice",
    "bot_retry_phone",
    "bot_retry_email",
    "bot_retry_time",
    "bot_retry_closed",
    "bot_retry_text",
    "bot_cancelled",
    "bot_taken_over",
]
SHORT = 4


class EngagementError(Exception):
    """A file of rules, replies or questions cannot be used: which one, which entry, and what was expected."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=Part)


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

    rules: tuple[Body, ...]
    """Of the file: what a fresh installation starts with. Those in force are rows, see `engine.rulebook`."""
    human_phrases: tuple[str, ...]
    replies: Mapping[str, Mapping[str, str]]
    questions: tuple[Question, ...]

    @classmethod
    def load(cls, rules: Path, replies: Path, faq: Path) -> "Engagement":
        """Read the three; raises EngagementError with one sentence."""
        book = _check(Book, _toml(rules), str(rules))
        found = read_rules(book.rules, str(rules))
        entries = _check(Faq, _toml(faq), str(faq)).entries
        questions = tuple(_check(Question, entry, f"{faq}, entry {i + 1}") for i, entry in enumerate(entries))
        texts = {language: _replies(replies / f"{language}.toml") for language in LANGUAGES}
        for rule in found:
            for action in rule.then:
                if isinstance(action, Text) and action.template and action.template not in texts["fr"]:
                    raise EngagementError(
                        f"{rules}, rule {rule.name!r}: there is no reply {action.template!r} in {replies}."
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


def read_rules(entries: list[Any], file: str) -> tuple[Body, ...]:
    """The rules of a file; raises EngagementError with one sentence."""
    try:
        return tuple(read_rule(entry, f"{file}, rule {place + 1}") for place, entry in enumerate(entries))
    except RuleError as error:
        raise EngagementError(str(error)) from error


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
