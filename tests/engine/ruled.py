"""A line whose only rules are those of a test."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from socialcrm.domain.rows import Conversation, RuleRun
from socialcrm.domain.rulebook import read
from socialcrm.engine import rulebook
from socialcrm.engine.line import Line
from tests.story import Clock, Story, line_with

YES: dict[str, Any] = {}


def rule(name: str, then: Sequence[dict[str, Any]], on: str = "message", **more: Any) -> dict[str, Any]:
    """A rule as JSON."""
    return {"name": name, "on": on, "then": list(then), **more}


async def begin(
    line: Line, *rules: dict[str, Any], clock: Clock | None = None, connector: str = "echo", **sections: dict[str, Any]
) -> tuple[Story, Clock]:
    """A story in which only these rules are in force; they are taken over as a fresh installation takes the file's."""
    clock = clock or Clock()
    bodies = tuple(read(one, "Rule") for one in rules)
    own = replace(line.engagement, rules=bodies, questions=())
    story = await Story.begin(replace(line_with(line, clock, **sections), engagement=own), "ruled", connector)
    await rulebook.ensure(story.line)
    return story, clock


async def runs(story: Story, event: str) -> list[list[tuple[str, bool]]]:
    """Which rules were tried when something happened, and whether they fired."""
    found = [run for run in await story.rows(RuleRun) if run.event == event]
    return [[(entry["rule"], entry["fired"]) for entry in run.lines] for run in found]


async def labels(story: Story) -> list[str]:
    """Those of the newest conversation."""
    conversation: Conversation = await story.conversation()
    return conversation.labels
