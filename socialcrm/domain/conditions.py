"""Conditions: a tree of all, any and not over fields; read with exact mistakes, and explained when it fails."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from socialcrm.domain import patterns
from socialcrm.domain.facts import Facts
from socialcrm.domain.fields import FIELDS, OPERATORS, Comparison, Field, comparison

DEEPEST, MOST = 6, 200
_HOURS = re.compile(r"(([01]\d|2[0-3]):[0-5]\d)-(([01]\d|2[0-3]):[0-5]\d)")


class ConditionError(ValueError):
    """A condition that cannot be used: where it stands, and what was expected."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(f"{where}: {sentence}")
        self.where, self.sentence = where, sentence


@dataclass(frozen=True)
class Leaf:
    """One comparison of a field."""

    field: str
    op: str
    value: Any


@dataclass(frozen=True)
class Group:
    """All or any of some conditions must hold; or none, for `not`, which has exactly one."""

    how: str
    nodes: tuple["Node", ...]


Node = Leaf | Group
ALWAYS = Group("all", ())


def read(data: Any, where: str = "when") -> Node:
    """A condition from JSON or TOML. Raises ConditionError."""
    node = _read(data, where, 0)
    if sum(1 for _ in leaves(node)) > MOST:
        raise ConditionError(where, f"there are more than {MOST} conditions in one rule")
    _check_sense(node, where)
    return node


def write(node: Node) -> dict[str, Any]:
    """A condition as JSON or TOML; `read` gives it back."""
    if isinstance(node, Leaf):
        return {"field": node.field, "op": node.op, "value": node.value}
    inner = [write(one) for one in node.nodes]
    return {node.how: inner[0] if node.how == "not" else inner}


def leaves(node: Node) -> Iterator[Leaf]:
    """All comparisons of a tree."""
    if isinstance(node, Leaf):
        yield node
    else:
        for one in node.nodes:
            yield from leaves(one)


def needs(node: Node) -> frozenset[str]:
    """What has to be read of the database before a tree can be decided."""
    return frozenset(FIELDS[leaf.field].needs for leaf in leaves(node)) - {""}


def compiled(node: Node) -> Comparison:
    """A tree made quick to decide."""
    if isinstance(node, Leaf):
        return comparison(FIELDS[node.field], node.op, node.value)
    inner = [compiled(one) for one in node.nodes]
    if node.how == "all":
        return _all(inner)
    if node.how == "any":
        return _any(inner)
    return Comparison(
        lambda f: not inner[0].holds(f), lambda f: f"{inner[0].held(f)}, which it must not", inner[0].failed
    )


def _all(inner: Sequence[Comparison]) -> Comparison:
    tests = [one.holds for one in inner]

    def holds(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would take half as long again
            if not test(facts):
                return False
        return True

    def failed(facts: Facts) -> str:
        return next((one.failed(facts) for one in inner if not one.holds(facts)), "")

    reasons = [one.why for one in inner]

    def why(facts: Facts) -> str:
        for one in reasons:
            if reason := one(facts):
                return reason
        return ""

    return Comparison(holds, failed, lambda f: " and ".join(one.held(f) for one in inner) or "it always holds", why)


def _any(inner: Sequence[Comparison]) -> Comparison:
    return Comparison(
        lambda f: any(one.holds(f) for one in inner),
        lambda f: "; ".join(one.failed(f) for one in inner),
        lambda f: next((one.held(f) for one in inner if one.holds(f)), ""),
    )


def _read(data: Any, where: str, depth: int) -> Node:
    if not isinstance(data, Mapping):
        raise ConditionError(where, f"a condition is expected; it is {data!r}")
    if depth > DEEPEST:
        raise ConditionError(where, f"conditions are nested more than {DEEPEST} deep")
    groups = [key for key in ("all", "any", "not") if key in data]
    if groups:
        (how, *others) = groups
        if others or len(data) > 1:
            raise ConditionError(where, "a group has one of all, any and not, and nothing beside it")
        return _group(how, data[how], where, depth)
    if "field" not in data:
        raise ConditionError(where, "all, any, not or a field is expected")
    return _leaf(data, where)


def _group(how: str, inner: Any, where: str, depth: int) -> Group:
    if how == "not":
        return Group("not", (_read(inner, f"{where}.not", depth + 1),))
    if not isinstance(inner, Sequence) or isinstance(inner, str):
        raise ConditionError(f"{where}.{how}", f"a list of conditions is expected; it is {inner!r}")
    nodes = tuple(_read(one, f"{where}.{how}.{place + 1}", depth + 1) for place, one in enumerate(inner))
    if how == "any" and not nodes:
        raise ConditionError(f"{where}.any", "a group that wants any of nothing never holds: add a condition")
    return Group(how, nodes)


def _leaf(data: Mapping[str, Any], where: str) -> Leaf:
    name = data["field"]
    found = FIELDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ConditionError(where, f"there is no field {name!r}; there are {', '.join(FIELDS)}")
    if unknown := [key for key in data if key not in ("field", "op", "value")]:
        raise ConditionError(f"{where} ({name})", f"{unknown[0]!r} is not known here")
    op = data.get("op", OPERATORS[found.kind][0])
    if op not in OPERATORS[found.kind]:
        raise ConditionError(f"{where} ({name})", f"{op!r} cannot be used; {' or '.join(OPERATORS[found.kind])} can")
    return Leaf(found.name, op, _CHECKS[found.kind](found, data.get("value"), f"{where} ({name})"))


def _texts(one: Field, value: Any, where: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ConditionError(where, f"a list of texts is expected; it is {value!r}")
    found = [text.strip() for text in value if text.strip()]
    if not found:
        raise ConditionError(where, "at least one value is needed")
    for text in found:
        if one.choices and text not in one.choices:
            raise ConditionError(where, f"{text!r} is none of {', '.join(one.choices)}")
    return found


def _bool(one: Field, value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConditionError(where, f"true or false is expected; it is {value!r}")
    return value


def _quantity(one: Field, value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConditionError(where, f"a number is expected; it is {value!r}")
    if not one.least <= value <= one.most:
        raise ConditionError(where, f"a number from {one.least:g} to {one.most:g} is expected; it is {value:g}")
    return value


def _span(one: Field, value: Any, where: str) -> str:
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConditionError(where, f"hours like 08:00-17:00 are expected; it is {value!r}")
    if match[1] == match[3]:
        raise ConditionError(where, f"{value} begins and ends at the same minute: it never holds")
    return match[0]


def _pattern(one: Field, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ConditionError(where, f"a pattern is expected; it is {value!r}")
    try:
        patterns.check(value)
    except patterns.PatternError as error:
        raise ConditionError(where, str(error)) from error
    return value


_CHECKS: Mapping[str, Callable[[Field, Any, str], Any]] = {
    "choice": _texts,
    "flag": _bool,
    "number": _quantity,
    "words": _texts,
    "pattern": _pattern,
    "tags": _texts,
    "hours": _span,
}


def _check_sense(node: Node, where: str) -> None:
    """Conditions that can never hold together are refused: nobody means them."""
    if isinstance(node, Leaf):
        return
    for one in node.nodes:
        _check_sense(one, where)
    if node.how != "all":
        return
    seen: dict[str, list[Leaf]] = {}
    for leaf in (one for one in node.nodes if isinstance(one, Leaf)):
        for other in seen.setdefault(leaf.field, []):
            if _excludes(leaf, other):
                raise ConditionError(
                    f"{where} ({leaf.field})", f"{_shown(other)} and {_shown(leaf)} can never hold together"
                )
        seen[leaf.field].append(leaf)


def _excludes(one: Leaf, other: Leaf) -> bool:
    kind = FIELDS[one.field].kind
    if kind == "flag":
        return bool(one.value != other.value)
    if kind == "choice" and one.field != "channel":
        if one.op == other.op == "in":
            return set(one.value).isdisjoint(other.value)
        if {one.op, other.op} == {"in", "not_in"}:
            wanted, refused = (one, other) if one.op == "in" else (other, one)
            return set(wanted.value) <= set(refused.value)
    if kind == "number" and {one.op, other.op} == {"at_least", "at_most"}:
        low, high = (one, other) if one.op == "at_least" else (other, one)
        return bool(low.value > high.value)
    return False


def _shown(leaf: Leaf) -> str:
    value = ", ".join(leaf.value) if isinstance(leaf.value, list) else str(leaf.value).lower()
    return f"“{leaf.op.replace('_', ' ')} {value}”"
