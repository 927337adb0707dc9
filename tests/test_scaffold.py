"""`socialcrm new-connector`: what it makes passes at once, and what it cannot make is a sentence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from socialcrm.cli import app

ROOT = Path(__file__).parents[1]
COPIED = ("connectors", "docs/connectors", "tests/connectors", "tests/servers", "pyproject.toml")
LINKED = ("config", "nlp", "socialcrm", "tests/__init__.py", "tests/conftest.py", "tests/requirements.py")
LEFT = shutil.ignore_patterns("__pycache__", "test_*", "node_modules")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source tree, as far as connectors need it."""
    for path in (tmp_path / name for name in ("docs", "tests")):
        path.mkdir()
    for name in COPIED:
        copy = shutil.copy if (ROOT / name).is_file() else shutil.copytree
        copy(ROOT / name, tmp_path / name, **({} if copy is shutil.copy else {"ignore": LEFT}))  # type: ignore[operator]
    shutil.copy(ROOT / "tests/connectors/test_registry.py", tmp_path / "tests/connectors")
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    """A tool's words; fails where the tool does."""
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_connector_passes_its_own_tests_and_every_check_at_once(tree: Path) -> None:
    made = CliRunner().invoke(app, ["new-connector", "bulletin_board", "--label", "Ville d'Oran (forum)"])
    assert made.exit_code == 0, made.output
    module, test = "connectors/bulletin_board.py", "tests/connectors/test_bulletin_board.py"
    assert {module, test, "docs/connectors/bulletin_board.md"} <= set(made.stdout.splitlines())
    assert "igeon" not in "".join((tree / path).read_text(encoding="utf-8") for path in (module, test))
    assert '"bulletin_board": "connectors.bulletin_board:BulletinBoardConnector"' in run(
        "inspect", "connectors.registry"
    )
    assert '"connectors.bulletin_board"' in (tree / "pyproject.toml").read_text(encoding="utf-8")
    run("ruff", "check", module, test, "connectors/registry.py")
    run("ruff", "format", "--check", module, test, "connectors/registry.py")
    chosen = "test_bulletin_board or bulletin_board] or table or linked_from"
    said = run("pytest", "-q", "-p", "no:cacheprovider", test, "tests/connectors/test_registry.py", "-k", chosen)
    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Bulletin-Board"], "'Bulletin-Board' is no name for a connector"),
        (["../escape"], "is no name for a connector"),
        (["a_name_that_is_much_too_long"], "is no name for a connector"),
        (["class"], "a word of Python's own"),
        (["telegram"], "a connector called 'telegram' already"),
        (["email"], "a connector called 'email' already"),
        (["calls"], "connectors/calls.py is there already"),
        (["forum", "--label", 'x"; import os'], "A label has letters"),
    ],
)
def test_a_connector_that_cannot_be_made_is_a_sentence_and_nothing_is_written(
    tree: Path, arguments: list[str], said: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()}
    refused = CliRunner().invoke(app, ["new-connector", *arguments])
    assert (refused.exit_code, said in refused.stderr) == (2, True), refused.output
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()} == before


def test_outside_of_the_source_tree_it_says_where_to_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["new-connector", "forum"])
    assert (refused.exit_code, "run it at the top of SocialCRM's source tree" in refused.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
