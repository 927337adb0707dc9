"""What should happen, and why: a pure function of the facts, the rules and the time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from socialcrm.domain import conditions
from socialcrm.domain.conversation import Priority
from socialcrm.domain.engagement import Engagement
from socialcrm.domain.facts import Facts as Facts
from socialcrm.domain.fields import Comparison
from socialcrm.domain.rulebook import (
    Action,
    AddLabels,
    Body,
    HandOver,
    OpenCase,
    RemoveLabels,
    Reply,
    ReplyInPrivate,
    SetPriority,
    Text,
    ToAgent,
    ToSkill,
    ToTeam,
    Wait,
)

PRIORITIES = tuple(Priority)


@dataclass(frozen=True)
class Ready:
    """A rule that is ready to be tried."""

    id: int
    body: Body
    test: Comparison


@dataclass(frozen=True)
class Planned:
    """Something that a rule wants done; `rest` is what follows a wait."""

    rule_id: int
    rule: str
    place: int
    """Of the action in its rule."""
    action: Action
    rest: tuple[Action, ...] = ()


@dataclass
class Decision:
    """What to do, and why: one line per rule tried."""

    team: str = ""
    agent: str = ""
    skill: str = ""
    priority: str = ""
    labels: list[str] = field(default_factory=list)
    unlabels: list[str] = field(default_factory=list)
    reply: Text | None = None
    """What is said to the customer."""
    wants_person: bool = False
    """The customer asks for one; the bot announces the hand-over."""
    opens_case: bool = False
    hands_over: bool = False
    others: list[Planned] = field(default_factory=list)
    """All that is not above, in order."""
    fired: list[Ready] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def note(self, rule: str, fired: bool, because: str, did: str = "") -> None:
        """Add a line to the trace."""
        self.lines.append({"rule": rule, "fired": fired, "because": because, "did": did})


def ready(body: Body, number: int = 0) -> Ready:
    """A rule made quick to try."""
    return Ready(number, body, conditions.compiled(body.when))


def decide(
    facts: Facts,
    engagement: Engagement,
    rules: Sequence[Ready] | None = None,
    blocked: Callable[[Ready], str] = lambda rule: "",
) -> Decision:
    """What to do with a message: try "talk to a human", then the rules in order. Without `rules` those of
    the file are tried. `blocked` says why a rule whose conditions hold may yet not fire."""
    decision = Decision()
    phrase = engagement.wants_human(facts.said())
    if phrase:
        decision.hands_over = decision.wants_person = True
        decision.note("talk to a human", True, f"the message says {phrase!r}", "handed over to a person")
    tried = [ready(body) for body in engagement.rules] if rules is None else rules
    try_rules(decision, facts, tried, blocked)
    return decision


def try_rules(
    decision: Decision,
    facts: Facts,
    rules: Iterable[Ready],
    blocked: Callable[[Ready], str] = lambda rule: "",
) -> None:
    """Try rules in order. The first one to name a team, an agent, a priority or a reply wins; labels add up; a rule
    with `stop` that fires is the last one tried."""
    for rule in rules:
        body = rule.body
        if failed := rule.test.why(facts):
            decision.lines.append({"rule": body.name, "fired": False, "because": failed, "did": ""})
            continue
        if reason := blocked(rule):
            decision.note(body.name, False, reason)
            continue
        decision.fired.append(rule)
        decision.note(body.name, True, "all its conditions hold", plan(decision, rule.id, body.name, body.then))
        if body.stop:
            break


def plan(decision: Decision, rule_id: int, rule: str, actions: Sequence[Action], start: int = 0) -> str:
    """Take the actions of a rule into a decision, up to its first wait; what that adds, in words."""
    did: list[str] = []
    for place, action in enumerate(actions, start):
        if isinstance(action, Wait):
            rest = tuple(actions[place - start + 1 :])
            decision.others.append(Planned(rule_id, rule, place, action, rest))
            did.append(f"then waits {span(action.minutes)}")
            break
        did += _take(decision, Planned(rule_id, rule, place, action))
    return ", ".join(did) or "nothing new"


def span(minutes: float) -> str:
    """A length of time as the trace says it: 90 s, 45 min, 3 h, 2 d."""
    for size, unit in ((1440, "d"), (60, "h"), (1, "min")):
        if minutes >= size and minutes % size == 0:
            return f"{minutes / size:g} {unit}"
    return f"{minutes:g} min" if minutes >= 1 else f"{minutes * 60:g} s"


def higher(first: str, second: str) -> str:
    """The higher of two priorities; an empty one counts as none."""
    return max(first, second, key=lambda p: PRIORITIES.index(Priority(p)) if p else -1)


def _take(decision: Decision, planned: Planned) -> list[str]:
    match planned.action:
        case ToTeam(team=team):
            return _first(decision, "team", team)
        case ToAgent(agent=agent):
            return _first(decision, "agent", agent)
        case ToSkill(skill=skill):
            return _first(decision, "skill", skill)
        case SetPriority(priority=priority):
            return _first(decision, "priority", priority)
        case AddLabels(labels=labels):
            new = [label for label in labels if label not in decision.labels]
            decision.labels += new
            return [f"label {label}" for label in new]
        case RemoveLabels(labels=labels):
            decision.unlabels += labels
            return [f"without label {label}" for label in labels]
        case OpenCase() if not decision.opens_case:
            decision.opens_case = True
            return ["case"]
        case HandOver():
            decision.hands_over = True
            return ["handed over to a person"]
        case Reply() | ReplyInPrivate() as text if decision.reply is None:
            decision.reply = text
            how = "reply" if isinstance(text, Reply) else "private reply"
            return [f"{how} {text.template}" if text.template else f"{how} of its own"]
        case OpenCase() | Reply() | ReplyInPrivate():
            return []
        case action:
            decision.others.append(planned)
            return [_name(action)]


def _first(decision: Decision, what: str, value: str) -> list[str]:
    if getattr(decision, what):
        return []
    setattr(decision, what, value)
    return [f"{what} {value}"]


def _name(action: Action) -> str:
    name = {"mail": "e-mail", "suggest": "suggestion"}.get(action.do, action.do)
    what = getattr(action, "hook", "") or getattr(action, "template", "") or getattr(action, "subject", "")
    minutes = getattr(action, "minutes", None)
    return f"{name} {what or (span(minutes) if minutes else '')}".strip()
