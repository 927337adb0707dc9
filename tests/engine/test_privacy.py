"""What our machine says in public has no phone number of a customer in it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from socialcrm.domain.engagement import Engagement
from socialcrm.engine.line import Line
from tests.story import Story

REPLIES = Path(__file__).parents[2] / "config" / "replies"
RULES = """
[[rules]]
name = "Greet"
then = { team = "support", reply = "greeting" }
"""


@pytest.mark.parametrize(("kind", "greeted"), [("comment", "[phone]"), ("direct_message", "0550123456")])
async def test_a_name_that_is_a_number_is_masked_in_public(line: Line, tmp_path: Path, kind: str, greeted: str) -> None:
    shutil.copytree(REPLIES, tmp_path / "replies")
    for file in (tmp_path / "replies").glob("*.toml"):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("greeting ")]
        file.write_text("\n".join(['greeting = "Hello {name}!"', *lines]), encoding="utf-8")
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    (tmp_path / "faq.toml").write_text("", encoding="utf-8")
    own = Engagement.load(tmp_path / "rules.toml", tmp_path / "replies", tmp_path / "faq.toml")
    story = await Story.begin(replace(line, engagement=own))
    await story.customer_writes("Bonjour, vous êtes ouverts ?", author="0550123456", kind=kind, thread="post-1")
    texts = [message.text for message in await story.messages("out")]
    assert texts == [f"Hello {greeted}!"]
