"""`socialcrm rules`: to a file and back."""

from pathlib import Path

from socialcrm.domain.rows import Rule
from tests.test_cli import Here, here

__all__ = ["here"]


def test_rules_go_to_a_file_and_come_back_changed_all_or_none(here: Here) -> None:
    file = Path("mine.toml")
    assert here.run("rules", "export", str(file)).exit_code == 0
    text = file.read_text(encoding="utf-8")
    assert here.run("rules", "export").stdout == text
    count = text.count("[[rules]]")
    assert len(here.rows(Rule)) == count
    file.write_text(text + '\n[[rules]]\nname = "New"\nthen = { label = ["x"] }\n', encoding="utf-8")
    result = here.run("rules", "import", "--dry-run", str(file))
    assert "1 rules would be added and 0 changed" in result.stdout
    assert len(here.rows(Rule)) == count
    assert "1 rules were added" in here.run("rules", "import", str(file)).stdout
    assert len(here.rows(Rule)) == count + 1
    file.write_text(
        '[[rules]]\nname = "A"\nthen = {}\n[[rules]]\nname = "B"\nthen = { team = "moon" }', encoding="utf-8"
    )
    result = here.run("rules", "import", str(file))
    assert result.exit_code != 0
    assert "there is no team 'moon'" in result.stderr
    assert len(here.rows(Rule)) == count + 1
    file.write_bytes(b"\xff")
    assert "no text in UTF-8" in here.run("rules", "import", str(file)).stderr
