"""The fields that conditions can ask about: how each is read, compared, and said in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Any

from socialcrm.domain.facts import Facts
from socialcrm.domain.phrases import said_phrase, says_any

LANGUAGES = ("fr", "ar", "en", "arq-Arab", "arq-Latn", "other")
SENTIMENTS = ("negative", "neutral", "positive")
INTENTS = ("complaint", "question", "request", "praise", "purchase", "leaving", "spam", "other")
REASONS = ("outage", "quality", "delay", "cancelled", "lost", "billing", "account", "service", "other")
KINDS = ("direct_message", "comment", "mention", "review")
MEDIA = ("image", "audio", "video", "document")
STATUSES = ("open", "pending", "snoozed", "resolved")
PRIORITIES = ("low", "normal", "high", "urgent")
HANDLERS = ("bot", "human", "closed")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NO_MESSAGE = "there is no message to look at"

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "choice": ("in", "not_in"),
    "flag": ("is",),
    "number": ("at_least", "at_most"),
    "words": ("any_of", "none_of"),
    "pattern": ("matches", "not_matches"),
    "tags": ("any_of", "all_of", "none_of"),
    "hours": ("within", "outside"),
}
"""Kind of a field -> the comparisons that it knows, the usual one first."""


@dataclass(frozen=True)
class Field:
    """One thing that a condition can ask about."""

    name: str
    group: str
    kind: str
    read: Callable[[Facts], Any]
    said: Callable[[Facts], str]
    """What was found, in words."""
    choices: tuple[str, ...] = ()
    """All values there are; empty: `source` or the admin knows them."""
    source: str = ""
    """What the page offers: teams, agents, channels, labels."""
    words: str = ""
    """Under which name the screens have words for the choices."""
    least: float = 0
    most: float = 1_000_000
    unit: str = ""
    is_of_message: bool = False
    needs: str = ""
    """What has to be read of the database for it beforehand."""


def _either(values: Sequence[str]) -> str:
    return " or ".join(values)


def is_within(hours: str, now: time) -> bool:
    """Whether a local time is in "08:00-17:00" (end excluded; 22:00-06:00 passes midnight)."""
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    return start <= now < end if start <= end else now >= start or now < end


def _flag(yes: str, no: str, read: Callable[[Facts], bool | None]) -> Callable[[Facts], str]:
    return lambda f: yes if read(f) else no


def _choice(name: str, group: str, read: Callable[[Facts], str], said: str = "", **more: Any) -> Field:
    shown = said or name.replace("_", " ")
    return Field(name, group, "choice", read, lambda f: f"{shown} is {read(f) or 'unknown'}", **more)


def _number(name: str, group: str, read: Callable[[Facts], float | None], said: str, **more: Any) -> Field:
    return Field(name, group, "number", read, lambda f: f"{said} {_amount(read(f))}", **more)


def _amount(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _now(facts: Facts) -> time:
    return facts.local_time.time() if facts.local_time else time()


_M: dict[str, Any] = {"is_of_message": True}
_ALL = (
    Field("words", "message", "words", lambda f: f.said(), lambda f: "it was said", **_M),
    Field("pattern", "message", "pattern", lambda f: f.text, lambda f: "its text fits the pattern", **_M),
    _choice("language", "message", lambda f: f.language, choices=LANGUAGES, words="language", **_M),
    _choice("sentiment", "message", lambda f: f.sentiment, choices=SENTIMENTS, words="sentiment", **_M),
    Field(
        "complaint",
        "message",
        "flag",
        lambda f: f.is_complaint,
        _flag("it is a complaint", "it is not a complaint", lambda f: f.is_complaint),
        **_M,
    ),
    _choice("intent", "message", lambda f: f.intent, choices=INTENTS, words="intent", **_M),
    _choice("reason", "message", lambda f: f.reason, choices=REASONS, words="reason", **_M),
    Field(
        "is_sure",
        "message",
        "flag",
        lambda f: f.is_sure,
        _flag("the analysis is sure", "the analysis is unsure", lambda f: f.is_sure),
        **_M,
    ),
    _number("language_score", "message", lambda f: f.language_score, "the score of the language is", most=1, **_M),
    _number("sentiment_score", "message", lambda f: f.sentiment_score, "the score of the sentiment is", most=1, **_M),
    _number("complaint_score", "message", lambda f: f.complaint_score, "the score of the complaint is", most=1, **_M),
    _number("intent_score", "message", lambda f: f.intent_score, "the score of the intent is", most=1, **_M),
    Field(
        "kind",
        "message",
        "choice",
        lambda f: f.kind,
        lambda f: f"it is a {f.kind}",
        choices=KINDS,
        words="kind",
        **_M,
    ),
    Field(
        "media",
        "message",
        "tags",
        lambda f: f.media,
        lambda f: f"it carries {', '.join(f.media) or 'no file'}",
        choices=MEDIA,
        words="attachment",
        **_M,
    ),
    Field(
        "channel",
        "conversation",
        "choice",
        lambda f: f.connector,
        lambda f: f"it came by {f.connector}",
        source="channels",
    ),
    _choice("status", "conversation", lambda f: f.status, "the status", choices=STATUSES, words="status"),
    _choice("priority", "conversation", lambda f: f.priority, "the priority", choices=PRIORITIES, words="priority"),
    _choice("team", "conversation", lambda f: f.team, "the team", source="teams"),
    _choice("agent", "conversation", lambda f: f.agent, "the agent", source="agents"),
    Field(
        "assigned",
        "conversation",
        "flag",
        lambda f: bool(f.agent),
        _flag("somebody has it", "nobody has it", lambda f: bool(f.agent)),
    ),
    _choice("handler", "conversation", lambda f: f.handler, "who answers", choices=HANDLERS, words="handler"),
    Field(
        "labels",
        "conversation",
        "tags",
        lambda f: f.labels,
        lambda f: f"the labels are {', '.join(f.labels) or 'none'}",
        source="labels",
    ),
    _number("age_hours", "conversation", lambda f: f.age_hours, "it was opened hours ago:", unit="hours"),
    _number("waiting_minutes", "conversation", lambda f: f.waiting_minutes, "minutes waited:", unit="minutes"),
    _number("message_count", "conversation", lambda f: f.message_count, "messages so far:"),
    _number("survey_score", "conversation", lambda f: f.survey_score, "the score given is", most=10),
    Field(
        "open_case",
        "contact",
        "flag",
        lambda f: f.has_open_case,
        _flag("a complaint is open", "no complaint is open", lambda f: f.has_open_case),
        needs="cases",
    ),
    _number(
        "earlier_conversations",
        "contact",
        lambda f: f.earlier_count,
        "earlier conversations:",
        needs="history",
    ),
    _choice(
        "contact_language",
        "contact",
        lambda f: f.contact_language,
        "the customer's language",
        choices=LANGUAGES,
        words="language",
    ),
    _choice("tier", "contact", lambda f: f.tier, "the tier", source="tiers"),
    Field(
        "stopped",
        "contact",
        "flag",
        lambda f: f.has_stopped,
        _flag("they asked not to be written to", "they did not ask to be left alone", lambda f: f.has_stopped),
        needs="consent",
    ),
    Field(
        "bot",
        "contact",
        "flag",
        lambda f: f.is_bot,
        _flag("the other side is a bot", "the other side is a person", lambda f: f.is_bot),
    ),
    Field("hours", "time", "hours", _now, lambda f: f"it is {_now(f):%H:%M}"),
    Field(
        "weekday",
        "time",
        "choice",
        lambda f: DAYS[f.local_time.weekday()] if f.local_time else "",
        lambda f: f"it is {DAYS[f.local_time.weekday()] if f.local_time else 'unknown'}",
        choices=DAYS,
        words="weekday",
    ),
    Field(
        "open",
        "time",
        "flag",
        lambda f: f.is_open,
        _flag("we are open", "we are closed", lambda f: f.is_open),
        needs="calendar",
    ),
    Field(
        "holiday",
        "time",
        "flag",
        lambda f: f.is_holiday,
        _flag("it is a holiday", "it is no holiday", lambda f: f.is_holiday),
        needs="calendar",
    ),
)

FIELDS: Mapping[str, Field] = {one.name: one for one in _ALL}
"""Name -> field, in the order in which a page offers them."""
GROUPS = ("message", "conversation", "contact", "time")


@dataclass(frozen=True)
class Comparison:
    """A comparison that is ready to be made: whether it holds, and why not."""

    holds: Callable[[Facts], bool]
    failed: Callable[[Facts], str]
    held: Callable[[Facts], str] = field(default=lambda f: "it holds")
    reason: Callable[[Facts], str] | None = None
    """Both at once, where that is quicker: why it does not hold; empty when it does."""

    def why(self, facts: Facts) -> str:
        """Why it does not hold; empty when it does."""
        if self.reason is not None:
            return self.reason(facts)
        return "" if self.holds(facts) else self.failed(facts)


def comparison(one: Field, op: str, value: Any) -> Comparison:
    """The comparison of a field with a value that fits it."""
    made = _BY_KIND[one.kind](one, op, value)
    if not one.is_of_message:
        return made
    # Rules on events may find a conversation in which nobody has written yet: what asks for something fails by itself.
    asks = op in ("in", "any_of", "all_of", "matches") or value is True or (op == "at_least" and value > 0)
    return Comparison(
        made.holds if asks and one.name != "is_sure" else lambda f: f.has_message and made.holds(f),
        lambda f: made.failed(f) if f.has_message else NO_MESSAGE,
        made.held,
    )


def _compare_choice(one: Field, op: str, value: Sequence[str]) -> Comparison:
    wanted, either = frozenset(value), _either(value)
    if one.name == "channel":  # a kind of channel, or one channel by its key
        is_in: Callable[[Facts], bool] = lambda f: f.connector in wanted or f.channel_key in wanted  # noqa: E731
    else:
        read = one.read
        is_in = lambda f: read(f) in wanted  # noqa: E731
    article = "a " if one.name == "kind" else ""
    if op == "in":
        return Comparison(is_in, lambda f: f"{one.said(f)}, not {article}{either}", one.said)
    return Comparison(lambda f: not is_in(f), one.said, one.said)


def _compare_flag(one: Field, op: str, value: bool) -> Comparison:
    read = one.read
    return Comparison(lambda f: bool(read(f)) == value, one.said, one.said)


def _compare_number(one: Field, op: str, value: float) -> Comparison:
    read = one.read
    if op == "at_least":
        return Comparison(
            lambda f: (found := read(f)) is not None and found >= value,
            lambda f: f"{one.said(f)}, less than {_amount(value)}",
            one.said,
        )
    return Comparison(
        lambda f: (found := read(f)) is not None and found <= value,
        lambda f: f"{one.said(f)}, more than {_amount(value)}",
        one.said,
    )


def _compare_words(one: Field, op: str, value: Sequence[str]) -> Comparison:
    phrases = tuple(value)

    def said(f: Facts) -> str:
        return f"the message says {said_phrase(phrases, f.said())!r}"

    if op == "any_of":
        return Comparison(lambda f: says_any(phrases, f.said()), lambda f: "none of its words is in the message", said)
    return Comparison(lambda f: not says_any(phrases, f.said()), said, lambda f: "none of its words is in the message")


def _compare_tags(one: Field, op: str, value: Sequence[str]) -> Comparison:
    wanted, either = frozenset(value), _either(value)
    read = one.read
    if op == "any_of":
        return Comparison(lambda f: not wanted.isdisjoint(read(f)), lambda f: f"{one.said(f)}, not {either}", one.said)
    if op == "all_of":
        return Comparison(
            lambda f: wanted <= set(read(f)), lambda f: f"{one.said(f)}, not {' and '.join(value)}", one.said
        )
    return Comparison(lambda f: wanted.isdisjoint(read(f)), one.said, one.said)


def _compare_hours(one: Field, op: str, value: str) -> Comparison:
    if op == "within":
        return Comparison(lambda f: is_within(value, _now(f)), lambda f: f"{one.said(f)}, outside {value}", one.said)
    return Comparison(lambda f: not is_within(value, _now(f)), lambda f: f"{one.said(f)}, within {value}", one.said)


def _compare_pattern(one: Field, op: str, value: str) -> Comparison:
    from socialcrm.domain.patterns import fits

    if op == "matches":
        return Comparison(
            lambda f: fits(value, f.text) is True,
            lambda f: (
                "the text does not fit the pattern" if fits(value, f.text) is False else "the pattern took too long"
            ),
            one.said,
        )
    return Comparison(
        lambda f: fits(value, f.text) is False,
        lambda f: one.said(f) if fits(value, f.text) else "the pattern took too long",
        lambda f: "the text does not fit the pattern",
    )


_BY_KIND: Mapping[str, Callable[[Field, str, Any], Comparison]] = {
    "choice": _compare_choice,
    "flag": _compare_flag,
    "number": _compare_number,
    "words": _compare_words,
    "pattern": _compare_pattern,
    "tags": _compare_tags,
    "hours": _compare_hours,
}
