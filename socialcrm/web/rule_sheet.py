"""The sheet on which a rule is written: what a browser sends, line by line, to and from what a rule says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multidict import MultiDict, MultiMapping

from socialcrm.domain.conditions import ALWAYS, Group, Leaf, Node
from socialcrm.domain.fields import FIELDS, OPERATORS
from socialcrm.domain.rulebook import AGENT_SILENT, LANGUAGES, MESSAGE, Body, Text, write_action

GROUPS = ("all", "any", "none", "not_all")
UNITS = {"min": 1, "h": 60, "d": 1440}
LISTS = ("labels", "to")
MOST = 100
"""Lines of conditions or actions that are read."""


@dataclass
class Line:
    """One line of the conditions: a group or a comparison, so many steps to the right."""

    depth: int
    how: str = "leaf"
    field: str = ""
    op: str = ""
    value: Any = None

    @property
    def is_group(self) -> bool:
        """Whether other lines stand in it."""
        return self.how in GROUPS


class Draft(dict[str, Any]):
    """An action as a form has it; what it lacks is empty."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass
class Sheet:
    """A rule as a form has it; it may yet be wrong."""

    name: str = ""
    on: str = MESSAGE
    is_on: bool = True
    stop: bool = False
    silence: str = "30"
    silence_unit: str = "min"
    most_per_conversation: str = ""
    most_per_person_a_day: str = ""
    lines: list[Line] = field(default_factory=lambda: [Line(0, "all")])
    actions: list[Draft] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The rule as JSON, for `rulebook.read` to check."""
        made: dict[str, Any] = {
            "name": self.name.strip(),
            "on": self.on,
            "is_on": self.is_on,
            "stop": self.stop,
            "when": _tree(self.lines),
            "then": [_action(one) for one in self.actions],
        }
        if self.on in (AGENT_SILENT, "customer_silent"):
            made["silence_minutes"] = _minutes(self.silence, self.silence_unit)
        for name in ("most_per_conversation", "most_per_person_a_day"):
            made[name] = _number(getattr(self, name) or "0")
        return made


def of_body(body: Body) -> Sheet:
    """The sheet of a rule."""
    silence, unit = _span(body.silence_minutes or 30)
    sheet = Sheet(
        name=body.name,
        on=body.on,
        is_on=body.is_on,
        stop=body.stop,
        silence=silence,
        silence_unit=unit,
        most_per_conversation=str(body.most_per_conversation or ""),
        most_per_person_a_day=str(body.most_per_person_a_day or ""),
        lines=[],
    )
    root = body.when if isinstance(body.when, Group) and body.when.how != "not" else Group("all", (body.when,))
    _flatten(root, 0, sheet.lines)
    for action in body.then:
        data = Draft(write_action(action))
        if "minutes" in data:
            data["minutes"], data["unit"] = _span(float(data["minutes"]))
        if isinstance(action, Text):
            data.setdefault("texts", {})
        sheet.actions.append(data)
    return sheet


def read(form: MultiMapping[Any]) -> Sheet:
    """The sheet that a browser sent."""
    texts: MultiDict[str] = MultiDict((key, value) for key, value in form.items() if isinstance(value, str))
    sheet = Sheet(
        name=texts.get("name", ""),
        on=texts.get("on", MESSAGE),
        is_on="is_on" in texts,
        stop="stop" in texts,
        silence=texts.get("silence", "30"),
        silence_unit=texts.get("silence_unit", "min"),
        most_per_conversation=texts.get("most_per_conversation", ""),
        most_per_person_a_day=texts.get("most_per_person_a_day", ""),
        lines=[],
    )
    for number in range(MOST):
        if f"n{number}.how" in texts:
            sheet.lines.append(_line(texts, number))
    for number in range(MOST):
        if f"a{number}.do" in texts:
            sheet.actions.append(_read_action(texts, number))
    if not sheet.lines or not sheet.lines[0].is_group:
        sheet.lines.insert(0, Line(0, "all"))
    return sheet


def change(sheet: Sheet, act: str) -> str:
    """Do what a button of the sheet says: "add 3", "group 3", "remove 3" of conditions; "action reply", "drop 2",
    "up 2", "down 2" of actions. The id of what should have the focus then."""
    verb, _, what = act.partition(" ")
    number = int(what) if what.isascii() and what.isdigit() else 0
    match verb:
        case "add" | "group" if number < len(sheet.lines):
            end = _end(sheet.lines, number)
            depth = sheet.lines[number].depth + 1
            new = [Line(depth, "leaf", "words", "any_of", [])]
            if verb == "group":
                new = [Line(depth, "any"), *(Line(depth + 1, "leaf", "words", "any_of", []) for _ in range(2))]
            sheet.lines[end:end] = new
            return f"n{end}-field" if verb == "add" else f"n{end}-how"
        case "remove" if 0 < number < len(sheet.lines):
            del sheet.lines[number : _end(sheet.lines, number)]
            return f"n{number - 1}-field" if not sheet.lines[number - 1].is_group else f"n{number - 1}-how"
        case "action":
            sheet.actions.append(Draft({"do": what, **({"texts": {}} if what in TEXTS else {})}))
            return f"a{len(sheet.actions) - 1}"
        case "drop" if number < len(sheet.actions):
            del sheet.actions[number]
            return "add-action"
        case "up" | "down":
            other = number - 1 if verb == "up" else number + 1
            if 0 <= other < len(sheet.actions) and number < len(sheet.actions):
                sheet.actions[number], sheet.actions[other] = sheet.actions[other], sheet.actions[number]
                return f"a{other}"
    return ""


TEXTS = ("reply", "private_reply", "suggest")


def _line(texts: MultiMapping[str], number: int) -> Line:
    how = texts[f"n{number}.how"]
    depth = _whole(texts.get(f"n{number}.depth", "0"))
    if how in GROUPS:
        return Line(depth, how)
    name = texts.get(f"n{number}.field", "words")
    known = FIELDS.get(name)
    if known is None:
        return Line(depth, "leaf", name)
    op = texts.get(f"n{number}.op", "")
    if op not in OPERATORS[known.kind]:
        op = OPERATORS[known.kind][0]
    # The field was just changed: what was chosen for the one before means nothing.
    is_same = texts.get(f"n{number}.was", name) == name
    return Line(depth, "leaf", name, op, _value(texts, f"n{number}.value", known.kind) if is_same else None)


def _value(texts: MultiMapping[str], key: str, kind: str) -> Any:
    given = texts.getall(key, [])
    match kind:
        case "choice" | "tags" | "words":
            parts = [part for text in given for part in text.replace(",", "\n").splitlines()]
            if kind == "words":
                parts = [part for text in given for part in text.splitlines()]
            return [part.strip() for part in parts if part.strip()]
        case "flag":
            return (given or ["yes"])[0] == "yes"
        case "number":
            return _number((given or ["0"])[0])
        case "hours":
            start, end = texts.get(f"{key}.from", ""), texts.get(f"{key}.to", "")
            return f"{start or '08:00'}-{end or '17:00'}"
    return (given or [""])[0].strip()


def _read_action(texts: MultiMapping[str], number: int) -> Draft:
    found = Draft({"do": texts[f"a{number}.do"]})
    start = f"a{number}."
    for key in dict.fromkeys(texts):
        if not key.startswith(start) or key == f"{start}do":
            continue
        name = key.removeprefix(start)
        if name.startswith("texts."):
            found.setdefault("texts", {})[name.removeprefix("texts.")] = texts[key]
        elif name in LISTS:
            found[name] = [part.strip() for part in texts[key].replace("\n", ",").split(",") if part.strip()]
        elif name in ("is_always", "is_for_silence"):
            found[name] = True
        else:
            found[name] = texts[key]
    return found


def _action(data: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in data.items() if key != "unit"}
    if "minutes" in made:
        made["minutes"] = _minutes(str(made["minutes"]), str(data.get("unit", "min")))
    if "texts" in made:
        made["texts"] = {} if made.get("template") else {k: v.strip() for k, v in made["texts"].items() if v.strip()}
    return made


def _tree(lines: Sequence[Line]) -> dict[str, Any]:
    """The lines as nested conditions."""
    first = lines[0]
    if not first.is_group:
        return {"field": first.field, "op": first.op, "value": first.value}
    inner, place = [], 1
    while place < len(lines):
        end = _end(lines, place)
        inner.append(_tree(lines[place:end]))
        place = end
    match first.how:
        case "none":
            return {"not": {"any": inner}}
        case "not_all":
            return {"not": {"all": inner}}
    return {first.how: inner}


def _flatten(node: Node, depth: int, lines: list[Line]) -> None:
    if isinstance(node, Leaf):
        lines.append(Line(depth, "leaf", node.field, node.op, node.value))
        return
    how, nodes = node.how, node.nodes
    if how == "not":
        inner = node.nodes[0]
        if isinstance(inner, Group) and inner.how in ("any", "all"):
            how, nodes = ("none" if inner.how == "any" else "not_all"), inner.nodes
        else:
            how = "none"
    lines.append(Line(depth, how))
    for one in nodes:
        if one != ALWAYS:
            _flatten(one, depth + 1, lines)


def _end(lines: Sequence[Line], number: int) -> int:
    """Where what stands in a line ends."""
    depth = lines[number].depth
    return next((n for n in range(number + 1, len(lines)) if lines[n].depth <= depth), len(lines))


def _span(minutes: float) -> tuple[str, str]:
    for unit in ("d", "h"):
        if minutes % UNITS[unit] == 0:
            return f"{minutes / UNITS[unit]:g}", unit
    return f"{minutes:g}", "min"


def _minutes(text: str, unit: str) -> Any:
    number = _number(text)
    return number * UNITS.get(unit, 1) if isinstance(number, int | float) else number


def _number(text: str) -> Any:
    """A number; the text itself where it is none, for the check to say so."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _whole(text: str) -> int:
    return min(int(text), 20) if text.isascii() and text.isdigit() else 0


__all__ = ["GROUPS", "LANGUAGES", "TEXTS", "UNITS", "Line", "Sheet", "change", "of_body", "read"]
