"""Making a survey: what stands in the form of its page, step by step, and back. Nothing here needs scripts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from socialcrm.domain.engagement import LANGUAGES
from socialcrm.domain.survey_form import SCALES, Form, Item, Mistake
from socialcrm.web.words import N_

MISTAKES = (
    N_("A questionnaire needs at least one question."),
    N_("A survey has at most %(most)s questions; these are %(count)s."),
    N_("A low score is between %(low)s and %(high)s; %(given)s is not."),
    N_("A questionnaire gives no score, so none can be low."),
    N_("Question %(place)s: there is another one called %(name)s."),
    N_("Question %(place)s: it has no words in any language."),
    N_("Question %(place)s: its scale should go up and have at most %(most)s steps; it goes from %(low)s to %(high)s."),
    N_("Question %(place)s: it needs 2 to %(most)s choices; it has %(count)s."),
    N_("Question %(place)s: two of its choices are kept as the same value."),
    N_("Question %(place)s: a choice has no words in any language."),
    N_("Question %(place)s: its condition needs an earlier question; there is none called %(name)s before it."),
    N_("Question %(place)s: its condition cannot follow a free text."),
    N_("Question %(place)s: “at least” and “at most” need a question with a scale."),
    N_("Question %(place)s: its condition waits for %(value)s, which is no answer there: it would never be asked."),
    N_("%(field)s: %(what)s."),
)
"""What `domain.survey_form` finds wrong, for the catalogues."""
BAD_NUMBER = N_("%(field)s: a number from %(low)s to %(high)s is needed, not “%(given)s”.")
BAD_TIME = N_("Quiet hours: a time such as 21:00 is needed, not “%(given)s”.")
NO_NAME = N_("Give the survey a name.")
NUMBERS: Mapping[str, tuple[str, float, float]] = {
    "delay_minutes": (N_("Minutes after the end"), 0, 43200),
    "share": (N_("Share of the conversations, in percent"), 0, 100),
    "rest_days": (N_("Days of rest between two surveys to one person"), 0, 365),
    "remind_hours": (N_("Reminder after so many hours (0: none)"), 0, 720),
    "expires_days": (N_("Days in which an answer counts"), 0.1, 365),
}
TYPES: Mapping[str, str] = {
    "yes_no": N_("Yes or no"),
    "opinion": N_("Perfect, passable, bad, no opinion"),
    "scale": N_("Scale of numbers"),
    "choice": N_("One of several choices"),
    "choices": N_("Several choices"),
    "text": N_("Free text"),
}
KINDS: Mapping[str, tuple[str, str]] = {
    "csat": (N_("Satisfaction (CSAT), 1 to 5"), N_("How satisfied people are with an answer.")),
    "nps": (N_("Recommendation (NPS), 0 to 10"), N_("Whether people would recommend the company.")),
    "ces": (N_("Effort (CES), 1 to 7"), N_("How easy it was to get an answer.")),
    "case_check": (N_("Is it solved?"), N_("Yes or no; a no can bring the conversation back.")),
    "questionnaire": (N_("Questionnaire"), N_("Questions of your own, without a score.")),
}
OPS: Mapping[str, str] = {
    "is": N_("is"),
    "is_not": N_("is not"),
    "at_least": N_("is at least"),
    "at_most": N_("is at most"),
}
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass
class Draft:
    """A survey while it is made: a body that may still be wrong."""

    name: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def items(self) -> list[dict[str, Any]]:
        """Its further questions."""
        items: list[dict[str, Any]] = self.body.setdefault("items", [])
        return items

    def shown(self) -> Form:
        """As much of it as can be shown, whatever is wrong with the rest."""
        items = []
        for item in self.items:
            try:
                items.append(Item.model_validate(item))
            except ValueError:
                continue
        kept = {key: self.body[key] for key in ("kind", "text", "asks_comment") if key in self.body}
        return Form.model_validate({**kept, "items": items})


def new_draft(kind: str) -> Draft:
    """A survey of a kind with what is usual."""
    low = {"csat": 2, "nps": 6, "ces": 3, "case_check": 0}.get(kind)
    body: dict[str, Any] = {
        "kind": kind,
        "items": [],
        "low": {"at_most": low, "alerts": low is not None, "reopens": kind == "case_check"},
        "sending": {"quiet": "21:00-08:00"},
        "asks_comment": kind != "questionnaire",
    }
    draft = Draft("", Form.model_validate(body).model_dump(mode="json"))
    if kind == "questionnaire":
        add_item(draft, "opinion")
    return draft


def read_draft(form: Mapping[str, Any], kind: str) -> Draft:
    """What was sent: every field is read, and what cannot be is a mistake beside the last good value."""
    draft = Draft(_text(form, "name")[:100])
    draft.body = {
        "kind": kind,
        "text": _texts(form, "text"),
        "items": [_item(form, place, draft) for place in range(_count(form, "items"))],
        "asks_comment": "asks_comment" in form,
        "low": _low(form, kind, draft),
        "sending": _sending(form, draft),
    }
    if not draft.name:
        draft.mistakes.append(Mistake(NO_NAME, {}))
    return draft


def change(draft: Draft, do: str, kind: str) -> None:
    """One step of making it: add, remove or move a question or a choice."""
    what, _, rest = do.partition(":")
    first, _, second = rest.partition(":")
    place = int(first) if first.isascii() and first.isdigit() else -1
    if what == "add":
        add_item(draft, kind if kind in TYPES else "yes_no")
    elif not 0 <= place < len(draft.items):
        return
    elif what == "remove":
        draft.items.pop(place)
    elif what in ("up", "down"):
        to = min(max(place + (1 if what == "down" else -1), 0), len(draft.items) - 1)
        draft.items.insert(to, draft.items.pop(place))
    elif what == "option":
        add_option(draft.items[place])
    elif what == "unoption" and second.isascii() and second.isdigit():
        options = draft.items[place]["options"]
        if int(second) < len(options):
            options.pop(int(second))


def add_item(draft: Draft, kind: str) -> None:
    """One more question at the end."""
    item: dict[str, Any] = {"id": _free("q", {i["id"] for i in draft.items}), "type": kind, "text": {}, "options": []}
    if kind in ("choice", "choices"):
        add_option(item)
        add_option(item)
    draft.items.append({**item, "low": 1, "high": 5, "is_optional": kind == "text", "when": None})


def add_option(item: dict[str, Any]) -> None:
    """One more choice."""
    item["options"].append({"value": _free("c", {o["value"] for o in item["options"]}), "text": {}})


def _free(prefix: str, taken: set[str]) -> str:
    return next(name for number in range(1, 1000) if (name := f"{prefix}{number}") not in taken)


def _item(form: Mapping[str, Any], place: int, draft: Draft) -> dict[str, Any]:
    name = f"item-{place}"
    kind = _text(form, f"{name}-type")
    when = None
    if (asked := _text(form, f"{name}-when")) and _text(form, f"{name}-when-value"):
        op = _text(form, f"{name}-when-op")
        when = {"item": asked, "op": op if op in OPS else "is", "value": _text(form, f"{name}-when-value").lower()}
    options = [
        {"value": _text(form, f"{name}-option-{n}-value"), "text": _texts(form, f"{name}-option-{n}-text")}
        for n in range(_count(form, f"{name}-options"))
    ]
    return {
        "id": _text(form, f"{name}-id"),
        "type": kind if kind in TYPES else "yes_no",
        "text": _texts(form, f"{name}-text"),
        "low": int(_number(form, f"{name}-low", N_("Lowest"), 0, 99, draft, 1)) if kind == "scale" else 1,
        "high": int(_number(form, f"{name}-high", N_("Highest"), 1, 100, draft, 5)) if kind == "scale" else 5,
        "options": options if kind in ("choice", "choices") else [],
        "is_optional": f"{name}-optional" in form,
        "when": when,
    }


def _low(form: Mapping[str, Any], kind: str, draft: Draft) -> dict[str, Any]:
    at_most = None
    if kind in SCALES and "low-on" in form:
        scale = SCALES[kind]
        at_most = int(_number(form, "low", N_("Low score"), scale[0], scale[-1], draft, scale[0]))
    return {
        "at_most": at_most,
        "alerts": "low-alerts" in form,
        "reopens": "low-reopens" in form,
        "calls": "low-calls" in form,
    }


def _sending(form: Mapping[str, Any], draft: Draft) -> dict[str, Any]:
    sending: dict[str, Any] = {
        name: _number(form, name, label, low, high, draft, low) for name, (label, low, high) in NUMBERS.items()
    }
    begins, ends = _text(form, "quiet_from"), _text(form, "quiet_to")
    for given in (begins, ends):
        if (begins or ends) and not _TIME.fullmatch(given):
            draft.mistakes.append(Mistake(BAD_TIME, {"given": given}))
            begins = ends = ""
    sending["quiet"] = f"{begins}-{ends}" if begins and ends else ""
    by, case, kind = (_text(form, f"audience-{name}") for name in ("by", "case", "kind"))
    sending["audience"] = {
        "channels": _several(form, "audience-channels"),
        "teams": _several(form, "audience-teams"),
        "languages": [each for each in _several(form, "audience-languages") if each in LANGUAGES],
        "by": by if by in ("agent", "bot") else "",
        "case": case if case in ("with", "without") else "",
        "kind": kind if kind in ("private", "public") else "",
    }
    return sending


def _number(
    form: Mapping[str, Any], name: str, label: str, low: float, high: float, draft: Draft, default: float
) -> float:
    given = _text(form, name).replace(",", ".")
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if low <= number <= high:
        return number
    draft.mistakes.append(Mistake(BAD_NUMBER, {"field": label, "low": f"{low:g}", "high": f"{high:g}", "given": given}))
    return default


def _texts(form: Mapping[str, Any], name: str) -> dict[str, str]:
    found = {language: _text(form, f"{name}-{language}")[:1000] for language in LANGUAGES}
    return {language: text for language, text in found.items() if text}


def _count(form: Mapping[str, Any], name: str) -> int:
    given = _text(form, name)
    return min(int(given), 50) if given.isascii() and given.isdigit() and len(given) < 4 else 0


def _several(form: Mapping[str, Any], name: str) -> list[str]:
    values = form.getall(name, []) if hasattr(form, "getall") else []
    return [str(value)[:100] for value in values][:100]


def _text(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return value.strip().replace("\r\n", "\n") if isinstance(value, str) else ""
