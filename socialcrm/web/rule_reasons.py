"""What rules say in traces, in the language of the screen; the engine writes English."""

import re
from collections.abc import Callable

from socialcrm.web.rule_words import DAY_WORDS
from socialcrm.web.words import N_, WORDS, word

Say = Callable[[str], str]

FIXED = frozenset(
    (
        N_("we are open"),
        N_("we are closed"),
        N_("it is a holiday"),
        N_("it is no holiday"),
        N_("the other side is a person"),
        N_("a complaint is open"),
        N_("no complaint is open"),
        N_("somebody has it"),
        N_("nobody has it"),
        N_("they asked not to be written to"),
        N_("they did not ask to be left alone"),
        N_("its text fits the pattern"),
        N_("the text does not fit the pattern"),
        N_("the pattern took too long"),
        N_("there is no message to look at"),
        N_("only what is public can be hidden"),
        N_("there is no message that the complaint could be about"),
        N_("nobody wrote here yet"),
        N_("the time that it waited is over"),
        N_("the customer wrote"),
        N_("the rule was switched off"),
        N_("we stopped while it was being sent"),
        N_("no mail server is set"),
        N_("there is nobody to write to"),
        N_("an acknowledgement needs a case: add case = true to the rule"),
        N_("3 rules started each other: stopped here"),
        N_("it always holds"),
        N_("hide"),
        N_("resolve"),
        N_("reopen"),
        N_("note"),
        N_("suggestion"),
        N_("reply of its own"),
        N_("private reply of its own"),
    )
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"reason is (?P<reason>.+), not (?P<reasons>.+)"), N_("the reason is %(reason)s, not %(reasons)s")),
    (re.compile(r"reason is (?P<reason>[^,]+)"), N_("the reason is %(reason)s")),
    (re.compile(r"language is (?P<language>[^,]+)"), N_("the language is %(language)s")),
    (re.compile(r"sentiment is (?P<sentiment>[^,]+)"), N_("the sentiment is %(sentiment)s")),
    (re.compile(r"intent is (?P<intent>[^,]+)"), N_("the intent is %(intent)s")),
    (
        re.compile(r"the status is (?P<status>.+), not (?P<statuses>.+)"),
        N_("the status is %(status)s, not %(statuses)s"),
    ),
    (
        re.compile(r"the priority is (?P<priority>.+), not (?P<priorities>.+)"),
        N_("the priority is %(priority)s, not %(priorities)s"),
    ),
    (re.compile(r"the team is (?P<one>.+), not (?P<others>.+)"), N_("the team is %(one)s, not %(others)s")),
    (re.compile(r"the agent is (?P<one>.+), not (?P<others>.+)"), N_("the agent is %(one)s, not %(others)s")),
    (re.compile(r"the tier is (?P<one>.+), not (?P<others>.+)"), N_("the tier is %(one)s, not %(others)s")),
    (
        re.compile(r"the customer's language is (?P<language>.+), not (?P<languages>.+)"),
        N_("the customer's language is %(language)s, not %(languages)s"),
    ),
    (
        re.compile(r"who answers is (?P<handler>.+), not (?P<handlers>.+)"),
        N_("who answers is %(handler)s, not %(handlers)s"),
    ),
    (re.compile(r"the labels are (?P<one>.+), not (?P<others>.+)"), N_("the labels are %(one)s, not %(others)s")),
    (re.compile(r"the labels are (?P<one>.+)"), N_("the labels are %(one)s")),
    (re.compile(r"it carries (?P<one>.+), not (?P<others>.+)"), N_("it carries %(one)s, not %(others)s")),
    (
        re.compile(r"minutes waited: (?P<one>\S+), less than (?P<other>\S+)"),
        N_("minutes waited: %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"minutes waited: (?P<one>\S+), more than (?P<other>\S+)"),
        N_("minutes waited: %(one)s, more than %(other)s"),
    ),
    (
        re.compile(r"messages so far: (?P<one>\S+), less than (?P<other>\S+)"),
        N_("messages so far: %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"messages so far: (?P<one>\S+), more than (?P<other>\S+)"),
        N_("messages so far: %(one)s, more than %(other)s"),
    ),
    (
        re.compile(r"earlier conversations: (?P<one>\S+), less than (?P<other>\S+)"),
        N_("earlier conversations: %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"earlier conversations: (?P<one>\S+), more than (?P<other>\S+)"),
        N_("earlier conversations: %(one)s, more than %(other)s"),
    ),
    (
        re.compile(r"the score given is (?P<one>\S+), less than (?P<other>\S+)"),
        N_("the score given is %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"the score given is (?P<one>\S+), more than (?P<other>\S+)"),
        N_("the score given is %(one)s, more than %(other)s"),
    ),
    (
        re.compile(r"the score of the (?P<field>\w+) is (?P<one>\S+), less than (?P<other>\S+)"),
        N_("the score of “%(field)s” is %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"the score of the (?P<field>\w+) is (?P<one>\S+), more than (?P<other>\S+)"),
        N_("the score of “%(field)s” is %(one)s, more than %(other)s"),
    ),
    (
        re.compile(r"it was opened hours ago: (?P<one>\S+), less than (?P<other>\S+)"),
        N_("hours since it began: %(one)s, less than %(other)s"),
    ),
    (
        re.compile(r"it was opened hours ago: (?P<one>\S+), more than (?P<other>\S+)"),
        N_("hours since it began: %(one)s, more than %(other)s"),
    ),
    (re.compile(r"it is (?P<weekday>\w+day)(?:, not (?P<weekdays>.+))?"), N_("it is %(weekday)s")),
    (re.compile(r"it is (?P<time>\d\d:\d\d), within (?P<hours>\S+)"), N_("it is %(time)s, within %(hours)s")),
    (
        re.compile(r"it fired (?P<count>\d+) times in this conversation, which is its limit"),
        N_("it fired %(count)s times in this conversation, which is its limit"),
    ),
    (
        re.compile(r"it fired (?P<count>\d+) times for this person within a day, which is its limit"),
        N_("it fired %(count)s times for this person within a day, which is its limit"),
    ),
    (re.compile(r"this person had one within (?P<hours>\S+) h"), N_("this person had one within %(hours)s h")),
    (re.compile(r"this person had (?P<count>\d+) within a day"), N_("this person had %(count)s within a day")),
    (re.compile(r"there is no webhook called '(?P<one>.+)'"), N_("there is no webhook called “%(one)s”")),
    (re.compile(r"the webhook '(?P<one>.+)' is switched off"), N_("the webhook “%(one)s” is switched off")),
    (re.compile(r"without label (?P<one>.+)"), N_("without label %(one)s")),
    (re.compile(r"private reply (?P<one>\w+)"), N_("private reply %(one)s")),
    (re.compile(r"suggestion (?P<one>\w+)"), N_("suggestion %(one)s")),
    (re.compile(r"skill (?P<one>.+)"), N_("skill %(one)s")),
    (re.compile(r"agent (?P<one>\S+@\S+)"), N_("agent %(one)s")),
    (re.compile(r"then waits (?P<one>.+)"), N_("then waits %(one)s")),
    (re.compile(r"snooze (?P<one>.+)"), N_("sleeps %(one)s")),
    (re.compile(r"webhook (?P<one>.+)"), N_("webhook %(one)s")),
    (re.compile(r"e-mail (?P<one>.+)"), N_("e-mail “%(one)s”")),
)
_KINDS = {"statuses": "status", "priorities": "priority"}


def explained(text: str, say: Say) -> str | None:
    """A sentence of a rule's trace, if it is one."""
    if text in FIXED:
        return say(text)
    for pattern, message in _PATTERNS:
        if match := pattern.fullmatch(text):
            return say(message) % {name: _value(name, value, say) for name, value in match.groupdict().items()}
    return None


def taken_apart(text: str, say: Say, inner: Callable[[str], str]) -> str | None:
    """A sentence made of others, if it is one: what must not hold, or several of which none holds."""
    if text.endswith(", which it must not"):
        return say(N_("%(what)s, which it must not")) % {"what": inner(text.removesuffix(", which it must not"))}
    parts = text.split("; ")
    if len(parts) == 1:
        return None
    said = [inner(part) for part in parts]
    return "; ".join(said) if all(a != b for a, b in zip(parts, said, strict=True)) else None


def _value(name: str, value: str | None, say: Say) -> str:
    kind = _KINDS.get(name, name.removesuffix("s") if name not in WORDS else name)
    if kind == "weekday":
        return " / ".join(say(DAY_WORDS.get(part, part)) for part in (value or "").split(" or "))
    if kind not in WORDS or value is None:
        return value or ""
    return " / ".join(say(word(kind, part)) for part in value.split(" or "))
