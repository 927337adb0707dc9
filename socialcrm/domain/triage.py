"""What should happen to an analysed message, and why: a pure function of the message, the rules and the time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

from socialcrm.domain.conversation import Priority
from socialcrm.domain.engagement import Engagement, Then, When, says_any, word_set

PRIORITIES = tuple(Priority)


@dataclass(frozen=True)
class Facts:
    """What triage knows of one message."""

    text: str
    language: str
    sentiment: str
    is_complaint: bool
    intent: str
    is_sure: bool
    connector: str
    channel_key: str
    kind: str
    local_time: datetime
    """When it is now at the company."""
    words: frozenset[str] = field(default_factory=frozenset)


@dataclass
class Decision:
    """What to do, and why: one line per rule tried."""

    team: str = ""
    priority: str = ""
    labels: list[str] = field(default_factory=list)
    reply: str = ""
    answer: dict[str, str] | None = None
    """The answers, by language, of the frequently asked question that was asked."""
    opens_case: bool = False
    hands_over: bool = False
    lines: list[dict[str, Any]] = field(default_factory=list)

    def note(self, rule: str, fired: bool, because: str, did: str = "") -> None:
        """Add a line to the trace."""
        self.lines.append({"rule": rule, "fired": fired, "because": because, "did": did})


def decide(facts: Facts, engagement: Engagement) -> Decision:
    """Try "talk to a human", then the rules in order, then the FAQ. The first rule to name a team, a priority or a
    reply wins; labels add up; a rule with `stop` that fires is the last one tried."""
    decision = Decision()
    words = facts.words or word_set(facts.text)
    phrase = engagement.wants_human(words)
    if phrase:
        decision.hands_over = True
        decision.note("talk to a human", True, f"the message says {phrase!r}", "handed over to a person")
    for rule in engagement.rules:
        failed = first_failed(rule.when, facts, words)
        if failed:
            decision.note(rule.name, False, failed)
            continue
        decision.note(rule.name, True, "all its conditions hold", _apply(rule.then, decision))
        if rule.stop:
            break
    if phrase and not decision.reply:
        decision.reply = "handover"
    if not decision.reply and not facts.is_complaint and (question := engagement.question(words)):
        decision.answer = question.answers
        decision.note("frequently asked questions", True, f"it asks {question.id!r}", "answered from the FAQ")
    return decision


def first_failed(when: When, facts: Facts, words: frozenset[str]) -> str:
    """The first condition that does not hold, in words; empty when all hold."""
    for is_given, holds, words_of in CONDITIONS:
        if is_given(when) and not holds(when, facts, words):
            return words_of(when, facts)
    return ""


def is_within(hours: str, now: time) -> bool:
    """Whether a local time is in "08:00-17:00" (end excluded; 22:00-06:00 passes midnight)."""
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    return start <= now < end if start <= end else now >= start or now < end


def higher(first: str, second: str) -> str:
    """The higher of two priorities; an empty one counts as none."""
    return max(first, second, key=lambda p: PRIORITIES.index(Priority(p)) if p else -1)


def _apply(then: Then, decision: Decision) -> str:
    did = []
    if then.team and not decision.team:
        decision.team = then.team
        did.append(f"team {then.team}")
    if then.priority and not decision.priority:
        decision.priority = then.priority
        did.append(f"priority {then.priority}")
    for label in then.label:
        if label not in decision.labels:
            decision.labels.append(label)
            did.append(f"label {label}")
    if then.case and not decision.opens_case:
        decision.opens_case = True
        did.append("case")
    if then.handover:
        decision.hands_over = True
        did.append("handed over to a person")
    if then.reply and not decision.reply:
        decision.reply = then.reply
        did.append(f"reply {then.reply}")
    return ", ".join(did) or "nothing new"


Condition = tuple[Callable[[When], object], Callable[[When, Facts, frozenset[str]], bool], Callable[[When, Facts], str]]

CONDITIONS: tuple[Condition, ...] = (
    (
        lambda w: w.language,
        lambda w, f, _: f.language in w.language,
        lambda w, f: f"language is {f.language}, not {_either(w.language)}",
    ),
    (
        lambda w: w.sentiment,
        lambda w, f, _: f.sentiment in w.sentiment,
        lambda w, f: f"sentiment is {f.sentiment}, not {_either(w.sentiment)}",
    ),
    (
        lambda w: w.complaint is not None,
        lambda w, f, _: f.is_complaint == w.complaint,
        lambda w, f: "it is a complaint" if f.is_complaint else "it is not a complaint",
    ),
    (
        lambda w: w.intent,
        lambda w, f, _: f.intent in w.intent,
        lambda w, f: f"intent is {f.intent}, not {_either(w.intent)}",
    ),
    (
        lambda w: w.is_sure is not None,
        lambda w, f, _: f.is_sure == w.is_sure,
        lambda w, f: "the analysis is sure" if f.is_sure else "the analysis is unsure",
    ),
    (
        lambda w: w.channel,
        lambda w, f, _: f.connector in w.channel or f.channel_key in w.channel,
        lambda w, f: f"it came by {f.connector}, not {_either(w.channel)}",
    ),
    (
        lambda w: w.kind,
        lambda w, f, _: f.kind in w.kind,
        lambda w, f: f"it is a {f.kind}, not a {_either(w.kind)}",
    ),
    (
        lambda w: w.words,
        lambda w, f, words: says_any(w.words, words),
        lambda w, f: "none of its words is in the message",
    ),
    (
        lambda w: w.hours,
        lambda w, f, _: is_within(w.hours, f.local_time.time()),
        lambda w, f: f"it is {f.local_time:%H:%M}, outside {w.hours}",
    ),
)


def _either(values: Sequence[str]) -> str:
    return " or ".join(values)
