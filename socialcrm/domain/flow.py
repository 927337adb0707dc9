"""A flow: what the bot says and asks, step by step. Written in TOML, read into parts that cannot be changed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from socialcrm.domain.engagement import LANGUAGES, Part

Text = Mapping[str, str]
"""Language -> the words in it."""
NAME = r"^[a-z][a-z0-9_-]{0,39}$"
END = "end"
"""Where a step can lead to that is no step: the flow is over, and the bot goes on listening."""


class FlowError(Exception):
    """Something about a flow cannot be: a sentence with %(name)s in it, and what to fill in."""

    def __init__(self, sentence: str, **values: object) -> None:
        self.sentence, self.values = sentence, values
        super().__init__(sentence % values)


class Choice(Part):
    """One of the answers to choose from."""

    value: str = Field(pattern=r"^[a-z0-9_-]{1,20}$")
    label: dict[str, str]
    aliases: tuple[str, ...] = ()
    """Other words that mean it, in any language."""
    goto: str = ""
    """Empty: where the step leads to."""


class Step(Part):
    """What every step has. Without `goto` the next one of the list follows; after the last one the flow is over."""

    id: str = Field(pattern=NAME)
    goto: str = ""


class Say(Step):
    """Words, without waiting for an answer."""

    do: Literal["say"]
    text: dict[str, str]


class Ask(Step):
    """A question; the flow goes on with its answer."""

    do: Literal["ask"]
    kind: Literal["text", "phone", "email", "time", "choice"]
    text: dict[str, str]
    keep: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,29})?$")
    """The variable that the answer is kept in; without one it only decides where to go."""
    choices: tuple[Choice, ...] = ()
    """Of kind choice."""
    tries: int = Field(default=2, ge=1, le=5)
    """So many answers that cannot be read; then the conversation goes to a person, or to `otherwise`."""
    otherwise: str = ""


class Confirm(Step):
    """A question that is answered with yes or no."""

    do: Literal["confirm"]
    text: dict[str, str]
    yes: str = ""
    no: str
    tries: int = Field(default=2, ge=1, le=5)
    otherwise: str = ""


class OpenCase(Step):
    """Registers a complaint; after it texts may name its {reference}."""

    do: Literal["case"]


class AskCallBack(Step):
    """Leaves a call-back for people to make, at the number and the time that were asked for."""

    do: Literal["callback"]
    phone: str = "phone"
    at: str = "at"
    """The variables that hold them."""
    about: str = ""


class HandOver(Step):
    """Gives the conversation to people, and says so."""

    do: Literal["handover"]


class Goto(Step):
    """Leads elsewhere: to a step of this flow or, with `flow`, to the start of another one."""

    do: Literal["goto"]
    flow: str = ""


class If(Step):
    """Leads to `then` where a variable has one of some values, else to `otherwise`."""

    do: Literal["if"]
    variable: str
    values: tuple[str, ...] = ()
    """Empty: whether it has any."""
    then: str
    otherwise: str = ""


class Faq(Step):
    """The answer of one of the frequently asked questions."""

    do: Literal["faq"]
    entry: str


AnyStep = Annotated[
    Say | Ask | Confirm | OpenCase | AskCallBack | HandOver | Goto | If | Faq, Field(discriminator="do")
]


class Start(Part):
    """When a flow begins by itself; with nothing given, only another flow leads to it."""

    first: bool = False
    """With the first message of a private conversation that nothing else answers."""
    words: tuple[str, ...] = ()
    """Any of these phrases; every word of a phrase must be in the message."""
    intents: tuple[str, ...] = ()
    """When the intent is surely one of these."""
    when: Literal["always", "open", "closed"] = "always"


class Flow(Part):
    """A whole flow."""

    name: str = Field(pattern=NAME)
    title: str | dict[str, str] = ""
    """What the page calls it, maybe by language."""
    languages: tuple[str, ...] = LANGUAGES
    """Those that every text is written in."""
    start: Start = Start()
    steps: tuple[AnyStep, ...] = Field(min_length=1, max_length=100)

    def titled(self, language: str) -> str:
        """What a page in a language calls it."""
        if isinstance(self.title, str):
            return self.title or self.name
        return self.title.get(language) or next(iter(self.title.values()), self.name)

    def step(self, name: str) -> "AnyStep":
        """The step of this id."""
        return next(step for step in self.steps if step.id == name)

    def next_of(self, step: "AnyStep") -> str:
        """Where a step leads to when nothing decides otherwise."""
        if step.goto:
            return step.goto
        place = self.steps.index(step) + 1
        return self.steps[place].id if place < len(self.steps) else END


@dataclass(frozen=True)
class Exit:
    """A way out of a step: to a step of this flow, to END or to another flow."""

    to: str = ""
    flow: str = ""


def exits(flow: Flow, step: AnyStep) -> list[Exit]:
    """Every way out of a step."""
    follows = flow.next_of(step)
    match step:
        case Goto(flow=other) if other:
            return [Exit(flow=other)]
        case HandOver():
            return []
        case If(then=then, otherwise=otherwise):
            return [Exit(then), Exit(otherwise or follows)]
        case Confirm(yes=yes, no=no, otherwise=otherwise):
            return [Exit(yes or follows), Exit(no), *([Exit(otherwise)] if otherwise else [])]
        case Ask(choices=choices, otherwise=otherwise):
            ways = [Exit(choice.goto or follows) for choice in choices] or [Exit(follows)]
            return [*ways, *([Exit(otherwise)] if otherwise else [])]
    return [Exit(follows)]


def texts_of(step: AnyStep) -> list[tuple[str, Text]]:
    """What a step writes: the name of the field, and the words."""
    match step:
        case Ask(text=text, choices=choices):
            return [("text", text), *((f"choices.{choice.value}.label", choice.label) for choice in choices)]
        case Say(text=text) | Confirm(text=text):
            return [("text", text)]
    return []


def read_flow(source: str) -> Flow:
    """A flow of its TOML. Raises FlowError with one sentence that names the step and the field."""
    try:
        values = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise FlowError("This is not valid TOML: %(error)s.", error=str(error)) from None
    try:
        return Flow.model_validate(values)
    except ValidationError as error:
        raise _wrong(values, error) from None


def _wrong(values: Mapping[str, object], error: ValidationError) -> FlowError:
    first = error.errors()[0]
    where = list(first["loc"])
    step = ""
    steps = values.get("steps")
    if where[:1] == ["steps"] and len(where) > 1 and isinstance(where[1], int) and isinstance(steps, list):
        entry = steps[where[1]]
        named = entry.get("id") if isinstance(entry, dict) else None
        step, where = str(named or f"#{where[1] + 1}"), [part for part in where[2:] if part not in _KINDS]
    key = ".".join(str(part) for part in where) or "do"
    values = {"key": key, "error": _sentence(first["msg"]), "step": step}
    if step:
        return FlowError("Step “%(step)s”, %(key)s: %(error)s.", **values)
    return FlowError("%(key)s: %(error)s.", **values)


_KINDS = ("say", "ask", "confirm", "case", "callback", "handover", "goto", "if", "faq")


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ").removesuffix(".")
    return text[:1].lower() + text[1:]
