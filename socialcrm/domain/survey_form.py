"""What a survey asks, of whom and when: read, checked, and decided without a database."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.survey import Skipped, Survey

SCALES: Mapping[str, range] = {"csat": range(1, 6), "nps": range(11), "ces": range(1, 8), "case_check": range(2)}
"""Kinds of survey that give a score, and the scores that there are."""
KINDS = (*SCALES, "questionnaire")
TYPES = ("scale", "choice", "choices", "opinion", "yes_no", "text")
OPINIONS = ("perfect", "passable", "bad", "none")
SCORE = "score"
NEAREST = {"arq-Arab": "ar", "arq-Latn": "fr"}
"""Where Darija is missing, what most who write it read."""
MOST_ITEMS, MOST_OPTIONS, WIDEST, LONGEST = 20, 10, 11, 1000

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST)]
Texts = dict[Literal["fr", "ar", "en", "arq-Arab", "arq-Latn"], Text]


@dataclass(frozen=True)
class Mistake:
    """What is wrong: a sentence with named places, and what stands in them."""

    text: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return self.text % self.values


class FormError(ValueError):
    """A survey cannot be used: what is wrong with which question."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Option(Part):
    value: str = Field(pattern=r"^[a-z0-9_]{1,30}$")
    text: Texts = {}


class Condition(Part):
    """Ask only after a certain answer to an earlier question."""

    item: str
    op: Literal["is", "is_not", "at_least", "at_most"] = "is"
    value: str


class Item(Part):
    id: str = Field(pattern=r"^[a-z0-9_]{1,30}$")
    type: Literal["scale", "choice", "choices", "opinion", "yes_no", "text"]
    text: Texts = {}
    low: int = Field(default=1, ge=0, le=99)
    high: int = Field(default=5, ge=1, le=100)
    options: tuple[Option, ...] = ()
    is_optional: bool = False
    when: Condition | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The answers that there are; empty for free text."""
        match self.type:
            case "scale":
                return tuple(str(n) for n in range(self.low, self.high + 1))
            case "choice" | "choices":
                return tuple(option.value for option in self.options)
            case "opinion":
                return OPINIONS
            case "yes_no":
                return ("yes", "no")
        return ()


class Low(Part):
    """What a low score sets off."""

    at_most: int | None = None
    """This score and lower ones; None: nothing."""
    reopens: bool = False
    alerts: bool = True
    calls: bool = False
    """Somebody should call the customer."""


class Audience(Part):
    """Of whom it is asked: empty lists leave nobody out."""

    channels: tuple[str, ...] = ()
    """Kinds of connector or keys of channels."""
    teams: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    by: Literal["", "agent", "bot"] = ""
    case: Literal["", "with", "without"] = ""
    kind: Literal["", "private", "public"] = ""


class Sending(Part):
    delay_minutes: float = Field(default=5, ge=0, le=60 * 24 * 30)
    share: float = Field(default=100, ge=0, le=100)
    """Percent of the resolutions."""
    rest_days: float = Field(default=7, ge=0, le=365)
    """Nobody gets two surveys within so many days, over all channels and surveys."""
    quiet: str = Field(default="", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    """Local time in which nothing is sent, end excluded; it may pass midnight."""
    remind_hours: float = Field(default=0, ge=0, le=24 * 30)
    """One reminder so long after the invitation; 0: none."""
    expires_days: float = Field(default=7, gt=0, le=365)
    audience: Audience = Audience()


class Form(Part):
    """One version of a survey."""

    kind: Literal["csat", "nps", "ces", "case_check", "questionnaire"] = "csat"
    text: Texts = {}
    """Of its score's question, or above a questionnaire; standard words where a language has none."""
    items: tuple[Item, ...] = ()
    """Further questions, in order; all of a questionnaire's."""
    asks_comment: bool = True
    low: Low = Low()
    sending: Sending = Sending()

    @property
    def steps(self) -> tuple[Item, ...]:
        """All questions: the one that gives the score first."""
        if self.kind == "questionnaire":
            return self.items
        scale = SCALES[self.kind]
        kind: Any = "yes_no" if self.kind == "case_check" else "scale"
        return (Item(id=SCORE, type=kind, text=self.text, low=scale[0], high=max(scale[-1], 1)), *self.items)

    def step(self, item_id: str) -> Item | None:
        """The question with this name."""
        return next((item for item in self.steps if item.id == item_id), None)

    def is_low(self, score: int | None) -> bool:
        """Whether a score sets something off."""
        return score is not None and self.low.at_most is not None and score <= self.low.at_most


def read_form(body: Mapping[str, Any]) -> Form:
    """The survey in a row's body; raises FormError with every mistake in words."""
    try:
        form = Form.model_validate(body)
    except ValidationError as error:
        raise FormError([_sentence(e) for e in error.errors()]) from error
    if found := mistakes(form):
        raise FormError(found)
    return form


NO_QUESTION = "A questionnaire needs at least one question."
TOO_MANY = "A survey has at most %(most)s questions; these are %(count)s."
BAD_LOW = "A low score is between %(low)s and %(high)s; %(given)s is not."
NO_LOW = "A questionnaire gives no score, so none can be low."
SAME_NAME = "Question %(place)s: there is another one called %(name)s."
NO_WORDS = "Question %(place)s: it has no words in any language."
BAD_SCALE = (
    "Question %(place)s: its scale should go up and have at most %(most)s steps; it goes from %(low)s to %(high)s."
)
BAD_COUNT = "Question %(place)s: it needs 2 to %(most)s choices; it has %(count)s."
SAME_VALUE = "Question %(place)s: two of its choices are kept as the same value."
NO_CHOICE_WORDS = "Question %(place)s: a choice has no words in any language."
NO_EARLIER = "Question %(place)s: its condition needs an earlier question; there is none called %(name)s before it."
AFTER_TEXT = "Question %(place)s: its condition cannot follow a free text."
NO_SCALE = "Question %(place)s: “at least” and “at most” need a question with a scale."
NEVER = "Question %(place)s: its condition waits for %(value)s, which is no answer there: it would never be asked."
OTHER = "%(field)s: %(what)s."


def mistakes(form: Form) -> list[Mistake]:
    """What is wrong with a survey."""
    found = []
    if form.kind == "questionnaire" and not form.items:
        found.append(Mistake(NO_QUESTION, {}))
    if len(form.items) > MOST_ITEMS:
        found.append(Mistake(TOO_MANY, {"most": MOST_ITEMS, "count": len(form.items)}))
    earlier: dict[str, Item] = {}
    for place, item in enumerate(form.steps, 1):
        found += [Mistake(text, {"place": place, **values}) for text, values in _of_item(item, earlier)]
        earlier[item.id] = item
    if form.kind in SCALES and form.low.at_most is not None and form.low.at_most not in SCALES[form.kind]:
        scale = SCALES[form.kind]
        found.append(Mistake(BAD_LOW, {"low": scale[0], "high": scale[-1], "given": form.low.at_most}))
    if form.kind == "questionnaire" and form.low.at_most is not None:
        found.append(Mistake(NO_LOW, {}))
    return found


Wrong = tuple[str, dict[str, object]]


def _of_item(item: Item, earlier: Mapping[str, Item]) -> list[Wrong]:
    found: list[Wrong] = []
    if item.id in earlier:
        found.append((SAME_NAME, {"name": item.id}))
    if item.id != SCORE and not any(item.text.values()):
        found.append((NO_WORDS, {}))
    if item.type == "scale" and not (0 < item.high - item.low < WIDEST):
        found.append((BAD_SCALE, {"most": WIDEST, "low": item.low, "high": item.high}))
    if item.type in ("choice", "choices"):
        if not 2 <= len(item.options) <= MOST_OPTIONS:
            found.append((BAD_COUNT, {"most": MOST_OPTIONS, "count": len(item.options)}))
        if len({o.value for o in item.options}) < len(item.options):
            found.append((SAME_VALUE, {}))
        if any(not any(o.text.values()) for o in item.options):
            found.append((NO_CHOICE_WORDS, {}))
    return found + (_of_condition(item.when, earlier) if item.when else [])


def _of_condition(when: Condition, earlier: Mapping[str, Item]) -> list[Wrong]:
    asked = earlier.get(when.item)
    if asked is None:
        return [(NO_EARLIER, {"name": when.item})]
    if asked.type == "text":
        return [(AFTER_TEXT, {})]
    if when.op in ("at_least", "at_most") and asked.type != "scale":
        return [(NO_SCALE, {})]
    if when.value not in asked.values:
        return [(NEVER, {"value": when.value})]
    return []


def _sentence(error: Any) -> Mistake:
    place = ".".join(str(part) for part in error["loc"])
    return Mistake(OTHER, {"field": place, "what": error["msg"]})


def follows(item: Item, answers: Mapping[str, Any]) -> bool | None:
    """Whether a question is asked after these answers; None while that depends on one that is missing."""
    when = item.when
    if when is None:
        return True
    if when.item not in answers:
        return None
    given = str(answers[when.item])
    match when.op:
        case "is":
            return when.value in given.split(",")
        case "is_not":
            return when.value not in given.split(",")
    if not given.isdigit():
        return False
    return int(given) >= int(when.value) if when.op == "at_least" else int(given) <= int(when.value)


def open_items(form: Form, answers: Mapping[str, Any]) -> tuple[list[Item], bool]:
    """The questions that can be asked now, and whether others may follow, depending on their answers."""
    missing = [item for item in form.steps if item.id not in answers]
    shown = [item for item in missing if follows(item, answers)]
    ids = {item.id for item in shown}
    may_follow = False
    for item in missing:
        if follows(item, answers) is None and item.when and item.when.item in ids:
            ids.add(item.id)
            may_follow = True
    return shown, may_follow


def answers_of(score: int | None, kind: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    """All answers of a survey, the score among them."""
    if score is None:
        return dict(answers)
    return {SCORE: ("yes" if score else "no") if kind == "case_check" else str(score), **answers}


def score_of(kind: str, value: str) -> int | None:
    """The score that an answer to the score's question is; None where it is none."""
    if kind == "case_check":
        return {"yes": 1, "no": 0}.get(value)
    is_number = value.isascii() and value.isdigit() and len(value) < 4
    return int(value) if is_number and kind in SCALES and int(value) in SCALES[kind] else None


def said(texts: Mapping[Any, str], language: str, default: str = "fr") -> str:
    """The words in a language, else in the nearest one that has any; empty where none has."""
    order = (language, NEAREST.get(language, language), default, *LANGUAGES)
    return next((texts[each] for each in order if texts.get(each)), "")


def answered(form: Form, survey: Survey) -> list[tuple[str, str]]:
    """The further questions that were answered, with the answers: the words of a choice, or the value."""
    lines = []
    for item in form.items:
        if value := str(survey.answers.get(item.id, "")):
            words = {option.value: said(option.text, survey.language) for option in item.options}
            read = ", ".join(words.get(part, part) for part in value.split(",")) if item.options else value
            lines.append((said(item.text, survey.language), read))
    return lines


@dataclass(frozen=True)
class Occasion:
    """What is known of a resolution when it is decided whether and which survey follows it."""

    resolution_id: int
    connector: str
    channel_key: str
    team: str
    language: str
    is_by_bot: bool
    has_case: bool
    is_public: bool


def suits(audience: Audience, occasion: Occasion) -> bool:
    """Whether a survey is meant for it."""
    a, o = audience, occasion
    return (
        (not a.channels or o.connector in a.channels or o.channel_key in a.channels)
        and (not a.teams or o.team in a.teams)
        and (not a.languages or o.language in a.languages)
        and (not a.by or (a.by == "bot") == o.is_by_bot)
        and (not a.case or (a.case == "with") == o.has_case)
        and (not a.kind or (a.kind == "public") == o.is_public)
    )


def choose(forms: Sequence[tuple[int, Form]], occasion: Occasion) -> tuple[int, Form] | Skipped:
    """The first survey that is meant for a resolution, or why there is none."""
    chosen = next(((number, form) for number, form in forms if suits(form.sending.audience, occasion)), None)
    if chosen is None:
        return Skipped.NO_FORM
    number, form = chosen
    return chosen if is_drawn(number, occasion.resolution_id, form.sending.share) else Skipped.SAMPLED_OUT


def is_drawn(form_id: int, resolution_id: int, percent: float) -> bool:
    """Whether a resolution is in the sample: the same answer whenever and by whomever it is asked."""
    digest = hashlib.sha256(f"survey:{form_id}:{resolution_id}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48 * 100 < percent


def after_quiet(at: datetime, quiet: str, zone: ZoneInfo) -> datetime:
    """`at`, or the end of the quiet hours in which it lies."""
    if not quiet:
        return at
    begins, ends = (time.fromisoformat(part) for part in quiet.split("-"))
    local = at.astimezone(zone)
    now = local.time()
    if begins == ends:
        return at
    if begins < ends:
        day = local.date() if begins <= now < ends else None
    else:
        day = local.date() if now < ends else local.date() + timedelta(days=1) if now >= begins else None
    return at if day is None else _local(day, ends, zone).astimezone(at.tzinfo)


def _local(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone)


def contradicts(kind: str, score: int | None, sentiment: str, is_complaint: bool) -> bool:
    """Whether a high score comes with angry words: a button pressed by mistake, or out of politeness."""
    if score is None or kind not in SCALES or score < high_from(kind):
        return False
    return sentiment == "negative" or is_complaint


def high_from(kind: str) -> int:
    """The lowest score that counts as content: 4 of 5, 9 of 10, 5 of 7, solved."""
    return {"csat": 4, "nps": 9, "ces": 5, "case_check": 1}[kind]
