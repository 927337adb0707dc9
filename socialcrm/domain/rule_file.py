"""Rules as a file: written as TOML that people can read, and read back with exact mistakes."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from socialcrm.domain.rulebook import Body, RuleError, check_loops, read, write

HEAD = "# Rules of SocialCRM, tried in order. `on` says when: message, opened, agent_silent…; see docs/rules.md.\n"


def write_file(bodies: Sequence[Body]) -> str:
    """The rules as TOML; `read_file` gives them back."""
    return "\n".join([HEAD, *(_rule(body) for body in bodies)])


def read_file(text: str, name: str = "The file") -> tuple[Body, ...]:
    """The rules of a file, in the long form or the short one. Raises RuleError with one sentence."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"{name} is not valid TOML: {error}.") from error
    entries = data.get("rules")
    if not isinstance(entries, list) or not entries:
        raise RuleError(f"{name} has no rules: each begins with [[rules]].")
    bodies = tuple(read(entry, f"{name}, rule {place}") for place, entry in enumerate(entries, 1))
    check_loops(bodies)
    return bodies


def _rule(body: Body) -> str:
    data = write(body)
    when, then = data.pop("when"), data.pop("then")
    lines = ["[[rules]]", *(f"{key} = {_value(value)}" for key, value in data.items())]
    if then_lines := [f"    {_value(action)}," for action in then]:
        lines += ["then = [", *then_lines, "]"]
    else:
        lines.append("then = []")
    lines.append(f"when = {_value(when)}" if when != {"all": []} else "when = {}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, str):
        # A basic string of TOML takes what JSON escapes, and DEL besides.
        return json.dumps(value, ensure_ascii=False).replace("\u007f", "\\u007f")
    return json.dumps(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
