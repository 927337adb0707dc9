"""What the engine says, traces and reasons, in the language of the screen.

The engine writes English; a sentence that is not known here stays so.
"""

import re
from collections.abc import Callable

from socialcrm.web.words import N_, WORDS, word

_FIXED = (
    N_("all its conditions hold"),
    N_("it is a complaint"),
    N_("it is not a complaint"),
    N_("the analysis is sure"),
    N_("the analysis is unsure"),
    N_("none of its words is in the message"),
    N_("present, with room, and given work longest ago"),
    N_("handed over to a person"),
    N_("answered from the FAQ"),
    N_("nothing new"),
    N_("case"),
    N_("There is nothing to write down: type a note first."),
    N_("There is nothing to send: write a text first."),
    N_("This message is not waiting for a decision."),
    N_("This channel cannot carry an answer."),
    N_("The platform did not answer in time."),
    N_("We stopped while it was being sent."),
    N_("There is no such label: choose one of those that are offered."),
    N_("This message has not been read yet: try again in a moment."),
    N_("All corrections are of a few messages: correct others too, so that some can be held out."),
    N_("The shipped model is in use: there is nothing to go back to."),
    N_("Another training has just ended: look at what it made before you train again."),
    N_("Something went wrong on our side. It has been logged; try again in a moment."),
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"language is (?P<language>\S+), not (?P<languages>.+)"),
        N_("language is %(language)s, not %(languages)s"),
    ),
    (
        re.compile(r"sentiment is (?P<sentiment>\S+), not (?P<sentiments>.+)"),
        N_("sentiment is %(sentiment)s, not %(sentiments)s"),
    ),
    (re.compile(r"intent is (?P<intent>\S+), not (?P<intents>.+)"), N_("intent is %(intent)s, not %(intents)s")),
    (re.compile(r"it came by (?P<channel>.+), not (?P<channels>.+)"), N_("it came by %(channel)s, not %(channels)s")),
    (re.compile(r"it is a (?P<kind>\w+), not a (?P<kinds>.+)"), N_("it is a %(kind)s, not a %(kinds)s")),
    (re.compile(r"it is (?P<time>\d\d:\d\d), outside (?P<hours>\S+)"), N_("it is %(time)s, outside %(hours)s")),
    (re.compile(r"the message says (?P<phrase>.+)"), N_("the message says %(phrase)s")),
    (re.compile(r"it asks (?P<question>.+)"), N_("it asks %(question)s")),
    (re.compile(r"team (?P<team>.+)"), N_("team %(team)s")),
    (re.compile(r"priority (?P<priority>\w+)"), N_("priority %(priority)s")),
    (re.compile(r"label (?P<label>.+)"), N_("label %(label)s")),
    (re.compile(r"reply (?P<reply>\w+)"), N_("reply %(reply)s")),
    (re.compile(r"assigned to (?P<name>.+)"), N_("assigned to %(name)s")),
    (
        re.compile(r"(?P<missing>\d+) more corrections are needed: there are (?P<count>\d+) of (?P<least>\d+)\."),
        N_("%(missing)s more corrections are needed: there are %(count)s of %(least)s."),
    ),
    (re.compile(r"The model cannot be refitted: (?P<because>.+)"), N_("The model cannot be refitted: %(because)s")),
)


def reason(text: str, translate: Callable[[str], str]) -> str:
    """One sentence of a trace, translated where it is one of ours."""
    if text in _FIXED:
        return translate(text)
    for pattern, message in _PATTERNS:
        if match := pattern.fullmatch(text):
            values = {name: _value(name, value, translate) for name, value in match.groupdict().items()}
            return translate(message) % values
    return text


def deed(text: str, translate: Callable[[str], str]) -> str:
    """What a rule did: several sentences with commas between them."""
    return ", ".join(reason(part, translate) for part in text.split(", "))


def _value(name: str, value: str, translate: Callable[[str], str]) -> str:
    kind = name.removesuffix("s")
    if kind not in WORDS:
        return value
    said = [translate(word(kind, part)) for part in value.split(" or ")]
    return " / ".join(said)
