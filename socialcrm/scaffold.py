"""A new connector to start from: module, tests, recording, page and registration, all of which pass at once."""

import keyword
import re
import subprocess
import sys
from pathlib import Path

TEMPLATES = Path(__file__).parent / "new_connector"
LABEL, CLASS, NAME = "Carrier Pigeon", "Pigeon", "pigeon"
NAME_LENGTH, LABEL_LENGTH = 20, 30
REGISTRY, INDEX, PROJECT = Path("connectors/registry.py"), Path("docs/connectors/index.md"), Path("pyproject.toml")
TREE = (REGISTRY, INDEX, Path("tests/connectors/contract.py"))


class CannotMake(Exception):
    """No connector was made; the message says why."""


def make(root: Path, name: str, label: str = "") -> list[Path]:
    """Write a connector called `name` into the source tree at `root`, and register it; what was written or changed,
    below `root`. Raises CannotMake, and then nothing was written."""
    label = label.strip() or name.replace("_", " ").capitalize()
    _check(root, name, label)
    made = {
        Path(f"connectors/{name}.py"): "pigeon.py",
        Path(f"tests/connectors/test_{name}.py"): "test_pigeon.py.txt",
        Path(f"tests/connectors/recordings/{name}/message.json"): "message.json",
        Path(f"docs/connectors/{name}.md"): "pigeon.md",
    }
    if there := [path for path in made if (root / path).exists()]:
        raise CannotMake(f"{there[0]} is there already: choose another name, or delete it first.")
    changed = {REGISTRY: _registered((root / REGISTRY).read_text(encoding="utf-8"), name)}
    if (root / PROJECT).is_file():
        changed[PROJECT] = _kept_apart((root / PROJECT).read_text(encoding="utf-8"), name)
    for path, template in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        (root / path).write_text(_renamed(text, name, label), encoding="utf-8")
    for path, text in changed.items():
        (root / path).write_text(text, encoding="utf-8")
    # In a process of its own, which sees the registry as it is now.
    subprocess.run([sys.executable, "-m", "connectors.abilities", str(INDEX)], cwd=root, check=True)
    return [*made, *changed, INDEX]


def _check(root: Path, name: str, label: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > NAME_LENGTH:
        raise CannotMake(
            f"{name!r} is no name for a connector: small letters, digits and single _ between them, a letter first,"
            f" {NAME_LENGTH} at most, like bulletin_board."
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise CannotMake(f"{name!r} is a word of Python's own: choose another name.")
    if len(label) > LABEL_LENGTH or not all(sign.isalnum() or sign in " -.'()" for sign in label):
        raise CannotMake(f"A label has letters, digits, spaces and - . ' ( ), {LABEL_LENGTH} at most.")
    if missing := [path for path in TREE if not (root / path).is_file()]:
        raise CannotMake(f"There is no {missing[0]} here: run it at the top of SocialCRM's source tree.")
    if f'"{name}":' in (root / REGISTRY).read_text(encoding="utf-8"):
        raise CannotMake(f"There is a connector called {name!r} already.")


def _renamed(text: str, name: str, label: str) -> str:
    """The label first: the other two words are in it."""
    return text.replace(LABEL, label).replace(CLASS, _class(name)).replace(NAME, name)


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _registered(text: str, name: str) -> str:
    """The registry with one line more, before the first name that comes after it, or at the end of the list."""
    line = f'    "{name}": "connectors.{name}:{_class(name)}Connector",\n'
    for found in re.finditer(r'^(?:    "(\w+)": "connectors\.|\}$)', text, re.MULTILINE):
        if found[1] is None or found[1] > name:
            return text[: found.start()] + line + text[found.start() :]
    raise CannotMake(f"{REGISTRY} has no list of connectors that ends with a line of its own.")


def _kept_apart(text: str, name: str) -> str:
    """The rule that connectors do not import each other, with one more."""
    return text.replace('modules = ["connectors.', f'modules = ["connectors.{name}", "connectors.', 1)
