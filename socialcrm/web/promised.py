"""What the thread says of a promise that ran out, or nearly: how far, and who was told."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from socialcrm.web.i18n import Formats
from socialcrm.web.sla_form import MEASURES
from socialcrm.web.words import N_

WAITS: Mapping[str, str] = {
    "customer": N_("It waits for the customer"),
    "third_party": N_("It waits for somebody outside"),
    "snoozed": N_("It is snoozed"),
}
CASES: Mapping[str, str] = {
    "case_due": N_("Complaint %(reference)s should be solved by %(time)s"),
    "case_late": N_("Complaint %(reference)s: write to the customer why it takes longer than %(time)s"),
    "case_reopened": N_("Complaint %(reference)s: the customer says that it is not solved"),
}
WHY = (
    ("nobody", N_("nobody is there to be told")),
    ("no mail", N_("there is no mail server")),
    ("there is no webhook", N_("there is no such webhook")),
    ("the webhook", N_("the webhook is switched off")),
)


def sentence(kind: str, data: Mapping[str, Any], say: Callable[[str], str], formats: Formats) -> str:
    """One event of a promise in words, or of a complaint."""
    if kind in CASES:
        values = {"reference": f"\u2068{data.get('reference', '')}\u2069", "time": _time(data, formats)}
        return say(CASES[kind]) % values
    measure = say(MEASURES.get(str(data.get("measure")), "Resolution"))
    percent = formats.percent(float(data.get("percent") or 0) / 100)
    values = {"measure": measure, "percent": percent, "time": _time(data, formats)}
    if kind == "sla_warning":
        text = say(N_("%(measure)s: %(percent)s of the promised time are over, due %(time)s")) % values
    elif kind == "sla_breached":
        text = say(N_("%(measure)s: the promised time is over since %(time)s")) % values
    else:
        text = say(N_("%(measure)s: it took %(percent)s of the promised time already")) % values
    told, untold = [], []
    for step in data.get("told") or ():
        if why := step.get("why"):
            untold.append(next((say(words) for start, words in WHY if why.startswith(start)), why))
        elif step.get("to"):
            told.append(f"\u2068{step['to']}\u2069")
    if told:
        text += " · " + say(N_("told: %(names)s")) % {"names": ", ".join(dict.fromkeys(told))}
    if untold:
        text += " · " + say(N_("not told: %(why)s")) % {"why": ", ".join(dict.fromkeys(untold))}
    return text


def waits(reason: str, say: Callable[[str], str]) -> str:
    """For what a conversation waits."""
    return say(WAITS.get(reason, N_("It waits")))


def _time(data: Mapping[str, Any], formats: Formats) -> str:
    try:
        return formats.moment(datetime.fromisoformat(str(data.get("due_at"))))
    except ValueError:
        return "–"
