"""Playing a flow: from a step to the next question or the end, and from an answer onwards. Pure, so that a page can
play a flow without anybody getting a message."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from socialcrm.domain.calendar import Calendar
from socialcrm.domain.flow import (
    END,
    AnyStep,
    Ask,
    AskCallBack,
    Confirm,
    Faq,
    Flow,
    Goto,
    HandOver,
    If,
    OpenCase,
    Say,
    Text,
)
from socialcrm.domain.moments import read_wish, spoken
from socialcrm.domain.question import NO, YES, Choice
from socialcrm.domain.reading import filled, read_choice, read_email, read_phone, wants_out

MOST_STEPS = 100
SLOTS = 4
SOON = timedelta(minutes=30)
AHEAD = timedelta(days=30)
LONGEST = 500
"""Characters that are kept of an answer."""


@dataclass(frozen=True)
class World:
    """What a flow is played in."""

    flows: Mapping[str, Flow]
    answers: Mapping[str, Text]
    """FAQ entry -> its answers."""
    reply: Callable[[str], str]
    """Key of a standard text -> the text in the customer's language, with its braces."""
    language: str
    default_language: str
    now: datetime
    zone: ZoneInfo
    calendar: Calendar
    given: Mapping[str, str]
    """Variables that every flow has: name, company, place, opening, url."""
    reference: str
    """That of the conversation's case, or of the one that would be opened now."""

    def words(self, text: Text) -> str:
        """A text in the customer's language, else in the company's, else in any."""
        wanted = (self.language, {"arq-Arab": "ar", "arq-Latn": "fr"}.get(self.language, ""), self.default_language)
        return next((text[name] for name in wanted if text.get(name)), next(iter(text.values()), ""))

    @property
    def is_open(self) -> bool:
        """Whether people are at work."""
        return self.calendar.is_open(self.now)


@dataclass(frozen=True)
class State:
    """Where a conversation stands: at a question of a flow, and what was answered so far."""

    flow: str
    step: str
    kept: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0


@dataclass(frozen=True)
class Played:
    """What comes of it: words, maybe with choices, and what has to be done."""

    texts: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    """Under the last text."""
    state: State | None = None
    """The question that is now open; None where the flow is over."""
    opens_case: bool = False
    call_back: tuple[str, datetime, str] | None = None
    """Number, time and what about."""
    hands_over: str = ""
    """Why, where it does."""
    is_repeat: bool = False
    """The same question again."""
    path: tuple[str, ...] = ()
    """The steps that were gone through."""
    kept: Mapping[str, str] = field(default_factory=dict)


def begin(world: World, flow: Flow) -> Played:
    """Play a flow from its start."""
    return _run(world, flow, flow.steps[0].id, {}, Played())


def go_on(world: World, flow: Flow, state: State, text: str, picked: str = "") -> Played:
    """Play on with an answer: words, or the value of a choice. `flow` is the version that the state belongs to."""
    try:
        step = flow.step(state.step)
    except StopIteration:
        return Played(hands_over="the flow has changed under this conversation", kept=state.kept)
    if not picked and wants_out(text):
        return Played((world.reply("bot_cancelled"),), kept=state.kept)
    if not isinstance(step, Ask | Confirm):
        return _run(world, flow, step.id, state.kept, Played())
    value, problem = _read(world, step, text, picked)
    if value is None:
        return _again(world, flow, step, state, problem)
    kept = dict(state.kept)
    if isinstance(step, Ask) and step.keep:
        kept[step.keep] = value
    return _run(world, flow, _way(flow, step, value), kept, Played())


def _way(flow: Flow, step: Ask | Confirm, value: str) -> str:
    """Where an answer leads to."""
    if isinstance(step, Confirm):
        return step.no if value == "no" else step.yes or flow.next_of(step)
    chosen = next((choice for choice in step.choices if choice.value == value), None)
    return (chosen.goto if chosen else "") or flow.next_of(step)


def choices_of(world: World, step: AnyStep) -> tuple[Choice, ...]:
    """What a question offers to choose from."""
    match step:
        case Confirm():
            return (Choice("yes", world.reply("bot_yes"), YES), Choice("no", world.reply("bot_no"), NO))
        case Ask(kind="choice", choices=choices):
            return tuple(
                Choice(c.value, _fill(world, world.words(c.label), {}), (*c.aliases, *_other(c.label, world)))
                for c in choices
            )
        case Ask(kind="time"):
            return tuple(Choice(_value(at), spoken(at, world.now, world.zone, world.language)) for at in slots(world))
    return ()


def slots(world: World) -> list[datetime]:
    """Some times at which people are at work and could call: full hours, two a day at most."""
    at = (world.now + SOON).astimezone(world.zone).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    found: list[datetime] = []
    end = world.now + timedelta(days=14)
    while len(found) < SLOTS and at < end:
        if not world.calendar.is_open(at):
            opening = world.calendar.next_opening(at)
            if opening is None:
                break
            local = opening.astimezone(world.zone)
            at = local if not local.minute else local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            if not world.calendar.is_open(at):
                at += timedelta(hours=1)
                continue
        closing = world.calendar.closing(at)
        on_day = [one for one in found if one.date() == at.date()]
        is_apart = not on_day or at - on_day[-1] >= timedelta(hours=3)
        if closing and closing - at >= SOON and len(on_day) < 2 and is_apart:
            found.append(at)
        at += timedelta(hours=1)
    return [one.astimezone(UTC) for one in found]


def _other(label: Text, world: World) -> tuple[str, ...]:
    """The choice's words in other languages mean it too."""
    return tuple(words for words in label.values() if words != world.words(label))


def _value(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M")


def _read(world: World, step: Ask | Confirm, text: str, picked: str) -> tuple[str | None, str]:
    """The answer to a question as it is kept, or the text that says why it is none."""
    if isinstance(step, Ask) and step.kind == "time":
        return _read_time(world, text, picked)
    if isinstance(step, Confirm) or step.kind == "choice":
        offered = choices_of(world, step)
        value = picked if picked in {choice.value for choice in offered} else read_choice(text, offered)
        return value, "bot_retry_choice"
    match step.kind:
        case "phone":
            return read_phone(text), "bot_retry_phone"
        case "email":
            return read_email(text), "bot_retry_email"
    return text.strip()[:LONGEST] or None, "bot_retry_text"


def _read_time(world: World, text: str, picked: str) -> tuple[str | None, str]:
    """A time in working hours, as ISO 8601 in UTC."""
    offered = choices_of(world, Ask(id="x", do="ask", kind="time", text={}))
    value = picked or read_choice(text, offered) or ""
    if value:
        at = datetime.strptime(value, "%Y%m%dT%H%M").replace(tzinfo=UTC)
        return (at.isoformat(), "") if world.calendar.is_open(at) and at > world.now else (None, "bot_retry_closed")
    wish = read_wish(text, world.now, world.zone)
    if wish is None:
        return None, "bot_retry_time"
    start, end = wish.start.astimezone(UTC), wish.end.astimezone(UTC)
    if start == end:
        is_good = world.now < start < world.now + AHEAD and world.calendar.is_open(start)
        return (start.isoformat(), "") if is_good else (None, "bot_retry_closed")
    opening = world.calendar.next_opening(max(start, world.now + SOON))
    is_good = opening is not None and opening < end and opening < world.now + AHEAD
    return (opening.isoformat(), "") if is_good and opening else (None, "bot_retry_closed")


def _again(world: World, flow: Flow, step: Ask | Confirm, state: State, problem: str) -> Played:
    """Ask once more, or give up."""
    tries = state.tries + 1
    if tries >= step.tries:
        if step.otherwise:
            return _run(world, flow, step.otherwise, state.kept, Played())
        return Played(hands_over=f"the answer to {step.id!r} could not be read {tries} times", kept=state.kept)
    text = f"{world.reply(problem)}\n{_fill(world, world.words(step.text), state.kept)}"
    offered = choices_of(world, step)
    return Played((text,), offered, replace(state, tries=tries), is_repeat=True, path=(step.id,), kept=state.kept)


def _run(world: World, flow: Flow, name: str, kept: Mapping[str, str], done: Played) -> Played:
    """Go from step to step until one waits for an answer or nothing follows."""
    path: list[str] = []
    for _ in range(MOST_STEPS):
        if name == END:
            break
        try:
            step = flow.step(name)
        except StopIteration:
            return replace(done, hands_over=f"the flow leads to {name!r}, which does not exist", kept=kept)
        path.append(name)
        done = replace(done, path=(*done.path, name), kept=kept)
        name = flow.next_of(step)
        match step:
            case Say():
                done = _say(done, _fill(world, world.words(step.text), kept))
            case Faq():
                if answers := world.answers.get(step.entry):
                    done = _say(done, world.words(answers))
            case OpenCase():
                done, kept = replace(done, opens_case=True), {**kept, "reference": world.reference}
            case AskCallBack():
                done = replace(done, call_back=_call(world, step, kept))
            case HandOver():
                return replace(done, hands_over=f"the flow {flow.name!r} does so at {step.id!r}", kept=kept)
            case If():
                holds = _value_of(world, step.variable, kept)
                is_met = holds in step.values if step.values else bool(holds)
                name = step.then if is_met else step.otherwise or name
            case Goto(flow=other) if other:
                if other not in world.flows:
                    return replace(done, hands_over=f"there is no flow {other!r} any more", kept=kept)
                flow, name = world.flows[other], world.flows[other].steps[0].id
            case Ask() | Confirm():
                text = _fill(world, world.words(step.text), kept)
                state = State(flow.name, step.id, kept)
                return replace(_say(done, text), choices=choices_of(world, step), state=state, kept=kept)
    return replace(done, kept=kept)


def _say(done: Played, text: str) -> Played:
    return replace(done, texts=(*done.texts, text)) if text else done


def _call(world: World, step: AskCallBack, kept: Mapping[str, str]) -> tuple[str, datetime, str] | None:
    phone, at = kept.get(step.phone, ""), kept.get(step.at, "")
    return (phone, datetime.fromisoformat(at), kept.get(step.about, "")) if phone and at else None


def _value_of(world: World, name: str, kept: Mapping[str, str]) -> str:
    if name == "is_open":
        return "yes" if world.is_open else "no"
    return world.language if name == "language" else kept.get(name) or world.given.get(name, "")


def _fill(world: World, text: str, kept: Mapping[str, str]) -> str:
    return filled(text, {**world.given, **{name: shown(world, value) for name, value in kept.items()}})


def shown(world: World, value: str) -> str:
    """A kept answer as one says it to the customer: a time in words."""
    if len(value) == len("2026-11-23T09:00:00+00:00") and value[10:11] == "T":
        try:
            return spoken(datetime.fromisoformat(value), world.now, world.zone, world.language)
        except ValueError:
            return value
    return value


def transcript(texts: Sequence[str]) -> str:
    """Several texts of the bot as one message."""
    return "\n\n".join(texts)
