"""What a rule says: when it is tried, its conditions and its actions; read from JSON or TOML with exact mistakes."""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from socialcrm.domain import conditions
from socialcrm.domain.conditions import ALWAYS, ConditionError, Node

LANGUAGES = ("fr", "ar", "en", "arq-Arab", "arq-Latn")
MESSAGE, AGENT_SILENT, CUSTOMER_SILENT = "message", "agent_silent", "customer_silent"
SILENCES = (AGENT_SILENT, CUSTOMER_SILENT)
EVENTS = (
    MESSAGE,
    "opened",
    "reopened",
    "resolved",
    "assigned",
    "case_opened",
    "survey_answered",
    "sla_warning",
    "sla_breached",
    *SILENCES,
)
"""What a rule can wait for; all but the first and the silences are kinds of ConversationEvent."""
VARIABLES = ("name", "company", "reference", "team", "minutes", "url")
"""What texts may have in braces."""
YEAR = 60 * 24 * 366


class RuleError(ValueError):
    """A rule that cannot be used; one sentence with its name and the field."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToTeam(Part):
    do: Literal["team"] = "team"
    team: str = Field(min_length=1)


class ToAgent(Part):
    do: Literal["agent"] = "agent"
    agent: str = Field(min_length=1)
    """E-mail address."""


class ToSkill(Part):
    do: Literal["skill"] = "skill"
    skill: str = Field(min_length=1)


class SetPriority(Part):
    do: Literal["priority"] = "priority"
    priority: Literal["low", "normal", "high", "urgent"]


class AddLabels(Part):
    do: Literal["label"] = "label"
    labels: tuple[str, ...] = Field(min_length=1)


class RemoveLabels(Part):
    do: Literal["unlabel"] = "unlabel"
    labels: tuple[str, ...] = Field(min_length=1)


class OpenCase(Part):
    do: Literal["case"] = "case"


class HandOver(Part):
    do: Literal["handover"] = "handover"


class Text(Part):
    """A text for a customer: a template of config/replies, or words of the rule's own by language."""

    template: str = ""
    texts: dict[str, str] = {}
    language: Literal["", "fr", "ar", "en", "arq-Arab", "arq-Latn"] = ""
    """Empty: the customer's."""


class Reply(Text):
    do: Literal["reply"] = "reply"
    is_always: bool = False
    """Although this person had an automatic answer not long ago."""


class ReplyInPrivate(Text):
    do: Literal["private_reply"] = "private_reply"
    is_always: bool = False


class Suggest(Text):
    do: Literal["suggest"] = "suggest"


class Hide(Part):
    do: Literal["hide"] = "hide"


class Note(Part):
    do: Literal["note"] = "note"
    text: str = Field(min_length=1, max_length=5000)


class Snooze(Part):
    do: Literal["snooze"] = "snooze"
    minutes: float = Field(gt=0, le=YEAR)


class Resolve(Part):
    do: Literal["resolve"] = "resolve"


class Reopen(Part):
    do: Literal["reopen"] = "reopen"


class Webhook(Part):
    do: Literal["webhook"] = "webhook"
    hook: str = Field(min_length=1)
    """Its name on the page of webhooks."""


class Mail(Part):
    do: Literal["mail"] = "mail"
    to: tuple[str, ...] = Field(min_length=1, max_length=20)
    """Addresses; or "admins", "supervisors", "team", "agent"."""
    subject: str = Field(min_length=1, max_length=200)
    text: str = Field(default="", max_length=5000)


class Wait(Part):
    do: Literal["wait"] = "wait"
    minutes: float = Field(gt=0, le=YEAR)
    is_for_silence: bool = False
    """What follows is left out when the customer writes meanwhile."""


Action = (
    ToTeam
    | ToAgent
    | ToSkill
    | SetPriority
    | AddLabels
    | RemoveLabels
    | OpenCase
    | HandOver
    | Reply
    | ReplyInPrivate
    | Suggest
    | Hide
    | Note
    | Snooze
    | Resolve
    | Reopen
    | Webhook
    | Mail
    | Wait
)
ACTIONS: TypeAdapter[Action] = TypeAdapter(Annotated[Action, Field(discriminator="do")])
MAIL_WORDS = ("admins", "supervisors", "team", "agent")
RAISES = {"team": "", "agent": "assigned", "resolve": "resolved", "reopen": "reopened", "case": "case_opened"}
"""What actions make happen that rules can wait for."""


class ShortWhen(Part):
    """The short way to write conditions in TOML: all that are given must hold."""

    language: list[str] = []
    sentiment: list[Literal["negative", "neutral", "positive"]] = []
    complaint: bool | None = None
    intent: list[str] = []
    is_sure: bool | None = None
    channel: list[str] = []
    """Names of connectors or keys of channels."""
    kind: list[Literal["direct_message", "comment", "mention", "review"]] = []
    words: tuple[str, ...] = ()
    """Any of these phrases; every word of a phrase must be in the message."""
    hours: str = Field(default="", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    """Local time, end excluded; 22:00-06:00 passes midnight."""


class ShortThen(Part):
    """The short way to write actions."""

    team: str = ""
    priority: Literal["", "low", "normal", "high", "urgent"] = ""
    label: tuple[str, ...] = ()
    case: bool = False
    handover: bool = False
    reply: str = ""
    """Key of a text in config/replies."""


class Outside(Part):
    """A rule without its conditions and actions, which are read by themselves."""

    name: str = Field(min_length=1, max_length=120)
    on: str = MESSAGE
    stop: bool = False
    is_on: bool = True
    silence_minutes: float = Field(default=0, ge=0, le=YEAR)
    most_per_conversation: int = Field(default=0, ge=0, le=1000)
    most_per_person_a_day: int = Field(default=0, ge=0, le=1000)
    when: Any = None
    then: Any


@dataclass(frozen=True)
class Body:
    """One rule."""

    name: str
    on: str = MESSAGE
    when: Node = ALWAYS
    then: tuple[Action, ...] = ()
    stop: bool = False
    """No rule after this one is tried when it fires."""
    silence_minutes: float = 0
    most_per_conversation: int = 0
    """0: as often as it happens."""
    most_per_person_a_day: int = 0
    is_on: bool = True

    @property
    def is_limited(self) -> bool:
        """Whether its firings have to be remembered."""
        return bool(self.most_per_conversation or self.most_per_person_a_day)


def read(data: Any, where: str) -> Body:
    """A rule from JSON or TOML, in the long form or the short one. Raises RuleError with one sentence."""
    if not isinstance(data, Mapping):
        raise RuleError(f"{where}: a rule is expected; it is {data!r}.")
    outside = _checked(TypeAdapter(Outside), data, where)
    where = f"{where} {outside.name!r}"
    if outside.on not in EVENTS:
        raise RuleError(f"{where}: on: {outside.on!r} does not happen here; {', '.join(EVENTS)} do.")
    if outside.on in SILENCES and not outside.silence_minutes:
        raise RuleError(f"{where}: silence_minutes: say after how many minutes of silence the rule is tried.")
    try:
        when = _when(outside.when, where)
    except ConditionError as error:
        raise RuleError(f"{where}: {error.where}: {error.sentence}.") from error
    return Body(
        name=outside.name.strip(),
        on=outside.on,
        when=when,
        then=_then(outside.then, where),
        stop=outside.stop,
        silence_minutes=outside.silence_minutes if outside.on in SILENCES else 0,
        most_per_conversation=outside.most_per_conversation,
        most_per_person_a_day=outside.most_per_person_a_day,
        is_on=outside.is_on,
    )


def write(body: Body) -> dict[str, Any]:
    """A rule as JSON or TOML; `read` gives it back."""
    made: dict[str, Any] = {"name": body.name, "on": body.on}
    if body.silence_minutes:
        made["silence_minutes"] = body.silence_minutes
    if not body.is_on:
        made["is_on"] = False
    if body.stop:
        made["stop"] = True
    for limit in ("most_per_conversation", "most_per_person_a_day"):
        if getattr(body, limit):
            made[limit] = getattr(body, limit)
    made["when"] = conditions.write(body.when)
    made["then"] = [write_action(action) for action in body.then]
    return made


def write_action(action: Action) -> dict[str, Any]:
    """An action without what is as usual."""
    return {"do": action.do, **action.model_dump(mode="json", exclude_defaults=True, exclude={"do"})}


def read_actions(data: Iterable[Any], where: str) -> tuple[Action, ...]:
    """Actions from JSON. Raises RuleError."""
    found = []
    for place, one in enumerate(data):
        do = one.get("do") if isinstance(one, Mapping) else None
        found.append(_checked(ACTIONS, one, f"{where}: then.{place + 1}" + (f" ({do})" if isinstance(do, str) else "")))
    return tuple(found)


def _when(data: Any, where: str) -> Node:
    if data is None or data == {}:
        return ALWAYS
    if isinstance(data, Mapping) and not data.keys().isdisjoint(("all", "any", "not", "field")):
        return conditions.read(data)
    short = _checked(TypeAdapter(ShortWhen), data, where, "when")
    given = {
        name: value for name in ShortWhen.model_fields if (value := getattr(short, name)) not in ([], (), "", None)
    }
    return conditions.read({"all": [{"field": name, "value": value} for name, value in given.items()]})


def _then(data: Any, where: str) -> tuple[Action, ...]:
    if isinstance(data, list | tuple):
        actions = read_actions(data, where)
    else:
        short = _checked(TypeAdapter(ShortThen), data, where, "then")
        made: list[Action] = []
        made += [ToTeam(team=short.team)] if short.team else []
        made += [SetPriority(priority=short.priority)] if short.priority else []
        made += [AddLabels(labels=short.label)] if short.label else []
        made += [OpenCase()] if short.case else []
        made += [HandOver()] if short.handover else []
        made += [Reply(template=short.reply)] if short.reply else []
        actions = tuple(made)
    for place, action in enumerate(actions):
        if isinstance(action, Wait) and place == len(actions) - 1:
            raise RuleError(f"{where}: then.{place + 1} (wait): nothing is done after the wait.")
        if isinstance(action, Text):
            _check_text(action, f"{where}: then.{place + 1} ({getattr(action, 'do', '')})")
    return actions


def _check_text(action: Text, where: str) -> None:
    if bool(action.template) == bool(action.texts):
        raise RuleError(f"{where}: either a template or texts by language are needed.")
    for language, text in action.texts.items():
        if language not in LANGUAGES:
            raise RuleError(f"{where}: texts: {language!r} is none of {', '.join(LANGUAGES)}.")
        if not text.strip():
            raise RuleError(f"{where}: texts.{language}: the text is empty.")
        if unknown := unknown_variables(text):
            raise RuleError(
                f"{where}: texts.{language}: {unknown[0]} is not known; texts may use "
                f"{', '.join(f'{{{name}}}' for name in VARIABLES)}."
            )


def unknown_variables(text: str, known: Sequence[str] = VARIABLES) -> list[str]:
    """What a text has in braces that nothing fills in; a lone brace counts."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return ["a brace that is not closed or not opened"]
    return [
        f"{{{name}}}" for _, name, spec, change in parts if name is not None and (name not in known or spec or change)
    ]


def _checked(model: TypeAdapter[Any], data: Any, where: str, inside: str = "") -> Any:
    try:
        return model.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        if model is ACTIONS and path and path[0] in _TAGS:
            del path[0]  # which kind of action it is stands in `where`
        key = ".".join([*([inside] if inside else []), *path])
        if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
            raise RuleError(f"{where}: an action is expected, with do = {', '.join(sorted(_TAGS))}.") from error
        raise RuleError(f"{where}: {f'{key}: ' if key else ''}{first['msg']} (it is {first['input']!r}).") from error


_TAGS = frozenset(cls.model_fields["do"].default for cls in get_args(Action))


@dataclass(frozen=True)
class World:
    """What there is, for rules to name."""

    teams: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    skills: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    """Keys of channels and kinds of connectors."""
    hooks: frozenset[str] = frozenset()
    templates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Language -> key -> text."""
    labels: frozenset[str] = frozenset()
    """That conversations have now."""
    has_mail: bool = True


def check_names(body: Body, world: World) -> None:
    """Refuse a rule that names what is not there. Raises RuleError."""
    where = f"Rule {body.name!r}"
    for leaf in conditions.leaves(body.when):
        known = {"team": world.teams, "agent": world.agents, "channel": world.channels}.get(leaf.field)
        if known is None:
            continue
        for value in leaf.value:
            if value not in known:
                raise RuleError(f"{where}: when ({leaf.field}): there is no {leaf.field} {value!r}{_near(known)}.")
    for place, action in enumerate(body.then):
        spot = f"{where}: then.{place + 1} ({action.do})"
        match action:
            case ToTeam() if action.team not in world.teams:
                raise RuleError(f"{spot}: there is no team {action.team!r}{_near(world.teams)}.")
            case ToAgent() if action.agent not in world.agents:
                raise RuleError(f"{spot}: there is no agent {action.agent!r}{_near(world.agents)}.")
            case ToSkill() if action.skill not in world.skills:
                raise RuleError(f"{spot}: nobody has the skill {action.skill!r}{_near(world.skills)}.")
            case Webhook() if action.hook not in world.hooks:
                raise RuleError(f"{spot}: there is no webhook {action.hook!r}{_near(world.hooks)}.")
            case Mail() if not world.has_mail:
                raise RuleError(f"{spot}: no mail server is set: fill in [mail] in the settings first.")
            case Mail():
                for address in action.to:
                    if "@" not in address and address not in MAIL_WORDS:
                        raise RuleError(f"{spot}: {address!r} is no address and none of {', '.join(MAIL_WORDS)}.")
            case Reply() | ReplyInPrivate() | Suggest() if action.template:
                _check_template(action.template, world, spot)


def _check_template(key: str, world: World, spot: str) -> None:
    for language in LANGUAGES:
        text = world.templates.get(language, {}).get(key)
        if text is None:
            raise RuleError(f"{spot}: there is no reply {key!r} in {language}.toml of the replies.")
        if unknown := unknown_variables(text):
            raise RuleError(f"{spot}: {unknown[0]} in the reply {key!r} ({language}) is not known.")


def _near(known: frozenset[str]) -> str:
    return f"; there are {', '.join(sorted(known)[:12])}" if known else ""


def check_loops(rules: Sequence[Body]) -> None:
    """Refuse rules that answer each other: a ring in which each does what starts the next. Raises RuleError."""
    active = [rule for rule in rules if rule.is_on]
    starts = {
        place: [other for other, rule in enumerate(active) if rule.on in _raised(one)]
        for place, one in enumerate(active)
    }
    for place in range(len(active)):
        ring = _ring(starts, place, place, ())
        if ring:
            names = [active[one].name for one in (*ring, place)]
            chain = ", which starts ".join(f"“{name}”" for name in names)
            raise RuleError(
                f"Rule {active[place].name!r}: rules would answer each other without end: {chain}."
                " Switch one of them off, or let it do something else."
            )


def _raised(rule: Body) -> frozenset[str]:
    return frozenset(RAISES.get(action.do, "") for action in rule.then) - {"", rule.on if _is_idle(rule) else ""}


def _is_idle(rule: Body) -> bool:
    """Resolving what is resolved, or reopening what is open, makes nothing happen."""
    return rule.on in ("resolved", "reopened") and rule.on in {RAISES.get(action.do) for action in rule.then}


def _ring(starts: Mapping[int, list[int]], place: int, goal: int, path: tuple[int, ...]) -> tuple[int, ...]:
    path = (*path, place)
    for following in starts[place]:
        if following == goal:
            return path
        if following not in path and following > goal and (found := _ring(starts, following, goal, path)):
            return found
    return ()


def warnings(body: Body, before: Sequence[Body], world: World) -> list[tuple[str, dict[str, str]]]:
    """What is allowed and yet looks like a slip: sentences with values to fill in."""
    found: list[tuple[str, dict[str, str]]] = []
    blocker = next((one for one in before if one.is_on and one.stop and one.on == body.on and one.when == ALWAYS), None)
    if blocker:
        found.append(("It is never tried, for “%(rule)s” before it always ends the list.", {"rule": blocker.name}))
    given = {label for one in before for action in one.then if isinstance(action, AddLabels) for label in action.labels}
    for leaf in conditions.leaves(body.when):
        for label in leaf.value if leaf.field == "labels" else ():
            if label not in world.labels and label not in given:
                found.append(
                    ("No conversation has the label “%(label)s”, and no rule before gives it.", {"label": label})
                )
    opens = any(isinstance(action, OpenCase) for one in (*before, body) if one.on == body.on for action in one.then)
    asks = any(leaf.field == "open_case" and leaf.value for leaf in conditions.leaves(body.when))
    if not opens and not asks and any(_has_reference(action, world) for action in body.then):
        found.append(("The text names the reference of a complaint, but nothing here opens one.", {}))
    if not body.then:
        found.append(("It does nothing yet.", {}))
    return found


def _has_reference(action: Action, world: World) -> bool:
    if not isinstance(action, Text):
        return False
    texts = action.texts.values() or [world.templates.get("fr", {}).get(action.template, "")]
    return any("{reference}" in text for text in texts)
