"""A question asked in a conversation, with choices; and reading which choice a text means."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import BIG, empty_list, json_column, key_column, ref_column, text_column, time_column


class Question(SQLModel, table=True):
    """One question to one person, and the answer once it is there. Exactly one answer counts."""

    __table_args__ = (
        Index(
            "ix_question_open",
            "contact_id",
            "channel_id",
            sqlite_where=sql("answered_at IS NULL"),
            postgresql_where=sql("answered_at IS NULL"),
        ),
        Index("ix_question_subject", "kind", "subject_id"),
    )

    id: int | None = key_column()
    key: str = Field(unique=True)
    """Same key, same question: asking twice asks once."""
    token: str = Field(unique=True)
    """In the buttons' values and in the link; cannot be guessed, and short: Telegram's values hold 64 bytes."""
    kind: str
    """Who takes the answer: a key of `TAKERS` in `engine.ask`."""
    subject_id: int = Field(sa_type=BIG)
    """What it is about: the number of a survey, a case, a flow's run."""
    conversation_id: int = ref_column("conversation.id", is_indexed=True)
    channel_id: int = ref_column("channel.id")
    contact_id: int = ref_column("contact.id")
    text: str = text_column(default="")
    """The question alone, as the page behind the link shows it."""
    choices: list[dict[str, Any]] = json_column(default_factory=empty_list)
    """{"value", "label", "aliases"} each."""
    takes_text: bool = False
    """Any text is an answer where it is none of the choices."""
    is_multiple: bool = False
    """Several choices may be given together, by number; their values are joined by commas."""
    is_private: bool = True
    """Asked in private: what the person writes in public is no answer to it."""
    is_aside: bool = False
    """Asked in private about something public: any private conversation with that person may hold the answer."""
    language: str = ""
    message_id: int | None = ref_column("message.id", default=None)
    """The message that asked it."""
    asked_at: datetime = time_column()
    expires_at: datetime = time_column()
    answered_at: datetime | None = time_column(default=None)
    answer: str = text_column(default="")
    """The value of the choice, or the text."""
    answer_message_id: int | None = ref_column("message.id", default=None)
    """The message that answered it; none where a button or the page did."""

    @property
    def options(self) -> list["Choice"]:
        """The choices."""
        return [Choice(c["value"], c["label"], tuple(c.get("aliases", ()))) for c in self.choices]


def is_open(question: Question, now: datetime) -> bool:
    """Whether an answer still counts."""
    return question.answered_at is None and now < question.expires_at


@dataclass(frozen=True)
class Choice:
    """One possible answer: what we keep, what people read, and other words that mean it."""

    value: str
    label: str
    aliases: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """As it is kept in a question."""
        return {"value": self.value, "label": self.label, "aliases": list(self.aliases)}


@dataclass(frozen=True)
class Answer:
    """What a text means: the value, how, and the words that came after it."""

    value: str
    how: Literal["choice", "text"]
    rest: str = ""

    @property
    def is_choice_only(self) -> bool:
        """Whether it chose and said nothing else."""
        return self.how == "choice" and not self.rest


_YES = "oui yes yep ok ouais نعم أيوه ايه إيه واه wah ih eyh ey na3am n3am iyeh"
_NO = "non no nope nan لا لالا للا la lala lela nn kalla كلا mazal مازال"
YES = tuple(_YES.split())
NO = (*_NO.split(), "pas du tout", "not at all")
"""Other words for yes and no, in the languages that we speak."""

_AROUND = """note notes score je donne mets met mis c est ma la le ta reponse choix option numero n num sur points point
    etoile etoiles svp stp sil vous te plait merci bien please pls plz thanks thank you thx my rating answer is i give
    it number stars star out of من فضلك شكرا علامه نقطه نقاط رقم الرقم نجوم نجمه جوابي اختار نعطي نعطيكم لكم sahit
    sahitou sa7a sa7it saha ya3tik ya3tikom n3ti na3ti n3tikom ra9m nombre chiffre"""
_POLITE = frozenset(_AROUND.split())
"""Words around a number or a label that change nothing about it."""
_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            "zero صفر sifr",
            "un une one واحد wahed wa7ed",
            "deux two اثنان اثنين زوج zouj zoudj",
            "trois three ثلاثه ثلاث تلاته tlata",
            "quatre four اربعه اربع ربعه rab3a reb3a rba3",
            "cinq five خمسه خمس khamsa",
            "six سته ستا setta",
            "sept seven سبعه sab3a",
            "huit eight ثمانيه تمنيه tmanya",
            "neuf nine تسعه tes3a",
            "dix ten عشره 3achra",
        )
    )
    for word in words.split()
}
_LETTERS = str.maketrans(dict(zip("ىیېةہھکگأإآٱ", "يييهههككاااا", strict=True)))
_OF = re.compile(r"(?<!\w)(\d{1,2}) ?(?:/|sur|out of|of|من|على|men|3la) ?(\d{1,2})(?!\w)")
_LEADS = re.compile(r"^\s*(\d{1,2})\s*(?:[,،;؛:!–—.]|-\s)\s*(?=\D)(.+)$", re.DOTALL)
_STARS = re.compile(r"^[⭐★🌟\s]+$")
_PART = re.compile(r"\d+[.,]\d+")
_LONG = 200


def folded(text: str) -> str:
    """Lower-case text without accents, marks and Arabic letter variants, its digits Western."""
    text = unicodedata.normalize("NFKD", text[: _LONG * 4])
    text = "".join(sign for sign in text if unicodedata.category(sign) not in ("Mn", "Me", "Cf") and sign != "ـ")
    text = "".join(str(unicodedata.digit(sign)) if sign.isdigit() else sign for sign in text.lower())
    return text.translate(_LETTERS)


def read_answer(text: str, question: Question, *, is_newest: bool = True) -> Answer | None:
    """Which answer to a question a text is; None where it is none. Only the newest question takes any text."""
    text = text.strip()
    if not text:
        return None
    choices = question.options
    if question.is_multiple and (values := _several(text, choices)):
        return Answer(",".join(values), "choice")
    if value := _choice(text, choices):
        return Answer(value, "choice")
    first, _, rest = text.partition("\n")
    if rest.strip() and (value := _choice(first, choices)):
        return Answer(value, "choice", rest.strip())
    leads = _LEADS.match("".join(str(unicodedata.digit(s)) if s.isdigit() else s for s in text))
    if leads and not _PART.match(text) and (value := _numbered(int(leads[1]), choices)):
        return Answer(value, "choice", leads[2].strip())
    return Answer(text, "text") if question.takes_text and is_newest else None


def _choice(text: str, choices: Sequence[Choice]) -> str | None:
    """The value that a short text names by its number or by its words."""
    if len(text) > _LONG or not choices:
        return None
    if _STARS.match(text.replace("\ufe0f", "")):
        return _numbered(sum(sign in "⭐★🌟" for sign in text), choices)
    plain = folded(text)
    if _PART.search(plain) or re.search(r"(?<!\w)-\d", plain):
        return None
    of = _OF.search(plain)
    if of and int(of[2]) == _highest(choices):
        plain = f"{plain[: of.start()]} {of[1]} {plain[of.end() :]}"
    elif of and "/" in of[0]:
        return None
    words = re.findall(r"\w+", plain)
    kept = [word for word in words if word not in _POLITE]
    if len(kept) == 1:
        number = int(kept[0]) if kept[0].isdigit() and len(kept[0]) < 4 else _NUMBERS.get(kept[0])
        if number is not None:
            return _numbered(number, choices)
    phrases = [(choice, _words(phrase)) for choice in choices for phrase in (choice.label, *choice.aliases)]
    told = _POLITE - {word for _, wanted in phrases for word in wanted}  # "la merci": here "la" is the answer
    kept = [word for word in words if word not in told]
    named = next((choice.value for choice, wanted in phrases if wanted and kept == wanted), None)
    if named is None and kept[:1] and kept[0].isdigit() and len(kept[0]) < 4:  # "2. Très bien", as it stands in a list
        value = _numbered(int(kept[0]), choices)
        named = next((c.value for c, wanted in phrases if c.value == value and kept[1:] == wanted), None)
    return named


def _several(text: str, choices: Sequence[Choice]) -> list[str]:
    """The values of several numbers ("1, 3", "1 et 3"); empty where one of them is none."""
    plain = folded(text) if len(text) <= _LONG else ""
    words = [word for word in re.findall(r"\w+", plain) if word not in _POLITE | {"et", "and", "و", "w", "ou"}]
    values = [_numbered(int(word), choices) if word.isdigit() and len(word) < 4 else None for word in words]
    found = list(dict.fromkeys(value for value in values if value is not None))
    return found if words and None not in values else []


def _words(phrase: str) -> list[str]:
    """The words of a label without the number that leads it."""
    return [w for n, w in enumerate(re.findall(r"\w+", folded(phrase))) if n or not w.isdigit()]


def _numbered(number: int, choices: Sequence[Choice]) -> str | None:
    """The choice with this number: its own where all of them are numbers, else its place in the list."""
    if is_scale(choices):
        return str(number) if any(choice.value == str(number) for choice in choices) else None
    return choices[number - 1].value if 1 <= number <= len(choices) else None


def is_scale(choices: Sequence[Choice]) -> bool:
    """Whether the choices are the numbers of a scale."""
    return bool(choices) and all(choice.value.isascii() and choice.value.isdigit() for choice in choices)


def _highest(choices: Sequence[Choice]) -> int:
    return max(int(c.value) for c in choices) if is_scale(choices) else len(choices)


def numbered(choices: Sequence[Choice]) -> str:
    """The choices as lines with their numbers, for channels without buttons."""
    if is_scale(choices):
        return "\n".join(c.label if c.label.startswith(c.value) else f"{c.value}. {c.label}" for c in choices)
    return "\n".join(f"{place}. {choice.label}" for place, choice in enumerate(choices, 1))
