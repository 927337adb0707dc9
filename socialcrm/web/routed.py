"""Why somebody got a conversation, lost it or waits for it, in words: the codes of `socialcrm.domain.routing`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from socialcrm.web.words import N_, word

WHY = {
    "wanted": N_("a rule asked for them"),
    "known": N_("they know this customer"),
    "skill": N_("good at “%(what)s”"),
    "without_skill": N_("nobody good at “%(what)s” had room"),
    "language": N_("answers in %(what)s"),
    "without_language": N_("nobody who answers in %(what)s had room"),
    "overflow": N_("helps the team out"),
    "only": N_("the only one with room"),
    "least_busy": N_("least busy"),
    "longest_idle": N_("longest without new work"),
}
LOST = {
    "inactive": N_("%(name)s does not work here any more: back to the queue"),
    "offline": N_("%(name)s is offline and the customer waits: back to the queue"),
    "away": N_("%(name)s is away and the customer waits: back to the queue"),
    "silent": N_("%(name)s has not answered for %(minutes)s minutes: back to the queue"),
}
WAITS = {
    "soon": N_("somebody gets it in a moment"),
    "teamless": N_("no rule gave it to a team"),
    "absent": N_("nobody of the team is here"),
    "full": N_("everybody who is here is full"),
    "avoided": N_("only who gave it away is here"),
    "no_skill": N_("nobody good at “%(what)s” has room"),
    "no_language": N_("nobody who is here answers in %(what)s"),
}
TERMS = {
    "priority": N_("Priority"),
    "complaint": N_("Complaint"),
    "sentiment": N_("Sentiment"),
    "public": N_("In public"),
    "repeat": N_("Wrote before this week"),
    "waiting": N_("Waiting"),
    "sla": N_("Service level at risk"),
    "tier": N_("Loyalty"),
    "labels": N_("Labels"),
}
Say = Callable[[str], str]


def why(data: Mapping[str, Any], say: Say) -> str:
    """What decided, and how much the agent has now: "answers in Arabic, least busy, 2 of 4"; empty of an old event."""
    parts = [_reason(code, say) for code in data.get("why") or []]
    if load := data.get("load"):
        parts.append(say(N_("%(busy)s of %(room)s")) % {"busy": load[0], "room": load[1]})
    return say(N_(", ")).join(part for part in parts if part)


def lost(data: Mapping[str, Any], name: str, say: Say) -> str:
    """Why a conversation went back to the queue by itself."""
    code, _, minutes = str((data.get("why") or [""])[0]).partition(":")
    sentence = LOST.get(code, N_("%(name)s lost it: back to the queue"))
    return say(sentence) % {"name": name, "minutes": minutes}


def waits(code: str, say: Say) -> str:
    """Why nobody has a conversation yet."""
    name, _, what = code.partition(":")
    if name.endswith("language"):
        what = say(word("language", what))
    return say(WAITS[name]) % {"what": what} if name in WAITS else ""


def terms(points: Mapping[str, float], say: Say) -> Sequence[tuple[str, float]]:
    """The terms of a score with their names, those that weigh most first."""
    named = [(say(TERMS.get(term, term)), value) for term, value in points.items()]
    return sorted(named, key=lambda pair: -abs(pair[1]))


def _reason(code: str, say: Say) -> str:
    name, _, what = code.partition(":")
    if name.endswith("language"):
        what = say(word("language", what))
    return say(WHY[name]) % {"what": what} if name in WHY else ""
