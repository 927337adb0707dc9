"""The form of a policy: from what is kept to its fields, and from its fields to what is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from multidict import MultiMapping

from socialcrm.domain.conversation import Priority
from socialcrm.domain.sla import KINDS, Measure, Pause, Tell
from socialcrm.web.words import N_

MEASURES: Mapping[str, str] = {
    Measure.FIRST_RESPONSE: N_("First answer"),
    Measure.NEXT_RESPONSE: N_("Next answer"),
    Measure.RESOLUTION: N_("Resolution"),
}
MEANINGS: Mapping[str, str] = {
    Measure.FIRST_RESPONSE: N_("From the customer's first message to the first answer of a person."),
    Measure.NEXT_RESPONSE: N_("From a later message, when nothing was waiting, to the next answer."),
    Measure.RESOLUTION: N_("From the first message, or a reopening, until it is resolved."),
}
PAUSES: Mapping[str, str] = {
    Pause.CUSTOMER: N_("It waits for the customer"),
    Pause.THIRD_PARTY: N_("It waits for somebody outside"),
    Pause.SNOOZED: N_("It is snoozed"),
    Pause.ANSWERED: N_("For the resolution: after an answer of ours, until the customer writes again"),
}
TELLS: Mapping[str, str] = {
    Tell.AGENT: N_("Who has it"),
    Tell.TEAM: N_("Its team"),
    Tell.SUPERVISORS: N_("Supervisors"),
    Tell.EMAIL: N_("By e-mail"),
    Tell.WEBHOOK: N_("By webhook"),
}
UNITS = {"minutes": 1, "hours": 60}
BLANK_RUNGS = 2
MOST = 40


@dataclass(frozen=True)
class PolicyForm:
    """What the fields of the page hold; numbers as they were typed."""

    name: str
    data: Mapping[str, Any]
    targets: Mapping[str, tuple[str, str]]
    """measure -> number and unit."""
    ladder: Sequence[Mapping[str, str]]

    def has(self, key: str, value: object) -> bool:
        """Whether a box is ticked."""
        return value in self.data.get(key, ())

    def text(self, key: str) -> str:
        """A list as it is typed, with commas."""
        return ", ".join(str(value) for value in self.data.get(key, ()))


def form_of(name: str, data: Mapping[str, Any]) -> PolicyForm:
    """The fields for what is kept."""
    targets = {key: _length(minutes) for key, minutes in data.get("targets", {}).items()}
    ladder = [{key: str(value) for key, value in rung.items()} for rung in data.get("ladder", ())]
    return PolicyForm(name, data, targets, ladder)


def read_form(sent: MultiMapping[Any]) -> tuple[PolicyForm, dict[str, Any]]:
    """What was typed, to be shown again if it is refused, and as it would be kept; what is no number stays text, which
    `read_policy` refuses."""

    def text(key: str) -> str:
        return str(sent.get(key, "")).strip()

    def chosen(key: str) -> list[str]:
        return [str(value) for value in sent.getall(key, [])]

    data: dict[str, Any] = {
        "priorities": [value for value in Priority if value in chosen("priorities")],
        "kinds": [value for value in KINDS if value in chosen("kinds")],
        "teams": [int(value) for value in chosen("teams") if value.isdigit() and len(value) < 19],
        "channels": [int(value) for value in chosen("channels") if value.isdigit() and len(value) < 19],
        "labels": _words(text("labels")),
        "without": _words(text("without")),
        "pauses": [value.value for value in Pause if value in chosen("pauses")],
    }
    if text("has_bot_answers") == "yes":
        data["has_bot_answers"] = True
    if text("calendar_id").isdigit():
        data["calendar_id"] = int(text("calendar_id")[:18])
    typed = {key: (text(f"target-{key}"), text(f"target-{key}-unit") or "minutes") for key in Measure}
    rungs = [
        {"percent": text(f"rung-{n}-percent"), "tell": text(f"rung-{n}-tell"), "to": text(f"rung-{n}-to")}
        for n in range(MOST)
        if text(f"rung-{n}-percent")
    ]
    form = PolicyForm(text("name"), data, {key: pair for key, pair in typed.items() if pair[0]}, rungs)
    data["targets"] = {key: _minutes(pair) for key, pair in form.targets.items()}
    data["ladder"] = [
        {"percent": _percent(rung["percent"]), "tell": rung["tell"], **({"to": rung["to"]} if rung["to"] else {})}
        for rung in rungs
    ]
    return form, {key: value for key, value in data.items() if value or key == "targets"}


def in_words(data: Mapping[str, Any], names: Mapping[str, Mapping[int, str]], said: Callable[..., str]) -> list[str]:
    """The conditions of a policy, one sentence each; empty where it is about every conversation. `said` translates a
    word of a kind."""
    found = []
    for key, title, kind in (
        ("priorities", N_("Priority: %(values)s"), "priority"),
        ("kinds", N_("Kind: %(values)s"), "kind"),
    ):
        if values := data.get(key):
            found.append(said(title, values=", ".join(said(value, kind=kind) for value in values)))
    for key, title in (("teams", N_("Team: %(values)s")), ("channels", N_("Channel: %(values)s"))):
        if values := data.get(key):
            known = names[key]
            found.append(said(title, values=", ".join(known.get(value, "?") for value in values)))
    for key, title in (("labels", N_("Label: %(values)s")), ("without", N_("Without the label: %(values)s"))):
        if values := data.get(key):
            found.append(said(title, values=", ".join(values)))
    return found


def _length(minutes: float) -> tuple[str, str]:
    if minutes % 60 == 0:
        return f"{minutes / 60:g}", "hours"
    return f"{minutes:g}", "minutes"


def _minutes(pair: tuple[str, str]) -> float | str:
    number, unit = pair
    try:
        value = float(number.replace(",", ".")) * UNITS.get(unit, 1)
    except ValueError:
        return number
    return int(value) if isfinite(value) and value == int(value) else value


def _percent(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else text


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip()[:60] for part in text.replace(";", ",").split(",") if part.strip()))
