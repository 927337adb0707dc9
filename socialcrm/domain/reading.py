"""Reading what a customer answers to the bot: a telephone number, an address, one of several choices."""

import re
from collections.abc import Mapping, Sequence

from nlp.entities import entities
from socialcrm.domain.question import Choice, Question, folded, read_answer

_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")
CANCEL = (
    "annuler", "annule", "laisser tomber", "laisse tomber", "cancel", "never mind", "nevermind", "forget it",
    "الغاء", "الغ", "انسى الامر", "خلاص ما نحتاجش", "khlas", "habbes", "7abbes", "khelliha", "خليها", "حبس",
)  # fmt: skip


def read_phone(text: str) -> str | None:
    """The first telephone number of a text in international form (E.164)."""
    return _first(text, "phone")


def read_email(text: str) -> str | None:
    """The first e-mail address of a text, in small letters."""
    return _first(text, "email")


def _first(text: str, kind: str) -> str | None:
    return next((found.value for found in entities(text, known={}) if found.kind == kind), None)


def wants_out(text: str) -> bool:
    """Whether somebody asks the bot to drop what it asks for."""
    return _plain(text) in _folded(CANCEL)


def read_choice(text: str, choices: Sequence[Choice]) -> str | None:
    """The value of the choice that a text means, by its number or its words."""
    question = Question(key="", token="", kind="", subject_id=0, choices=[choice.row() for choice in choices])
    answer = read_answer(text, question)
    return answer.value if answer else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w'@+ ]+", " ", folded(text)).split())


def _folded(words: Sequence[str]) -> frozenset[str]:
    return frozenset(_plain(word) for word in words)


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its {names} filled in; one that has no value is left out."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], ""), text)
