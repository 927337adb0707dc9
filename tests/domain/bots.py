"""A world to play flows in: a shop that works from Sunday to Thursday, 8 to 12 and 13 to 17, Algiers."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from config.settings import Engagement as Paths
from socialcrm.domain.calendar import Calendar, Hours
from socialcrm.domain.engagement import Engagement
from socialcrm.domain.flow import Flow, read_flow
from socialcrm.domain.play import World

ZONE = ZoneInfo("Africa/Algiers")
OPEN = (Hours(480, 720), Hours(780, 1020))
CALENDAR = Calendar(ZONE, (OPEN, OPEN, OPEN, OPEN, (), (), OPEN))
SUNDAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
"""At ten in the morning in Algiers: people are at work."""
FRIDAY = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
PATHS = Paths()
ENGAGEMENT = Engagement.load(PATHS.rules, PATHS.replies, PATHS.faq)
SHIPPED = {
    file.stem: read_flow(file.read_text(encoding="utf-8"))
    for file in (Path(__file__).parents[2] / "config" / "flows").glob("*.toml")
}


def world(language: str = "en", now: datetime = SUNDAY, flows: dict[str, Flow] | None = None, **given: str) -> World:
    """The shop as it stands at a time, for a customer who writes in a language."""
    return World(
        flows=SHIPPED if flows is None else flows,
        answers={one.id: one.answers for one in ENGAGEMENT.questions},
        reply=lambda key: ENGAGEMENT.replies[language][key],
        language=language,
        default_language="fr",
        now=now,
        zone=ZONE,
        calendar=CALENDAR,
        given={"name": "Lyes", "company": "Wasla", "place": "", "opening": "", "url": "", **given},
        reference="7K3-F9P-2",
    )


def at(made: World, now: datetime) -> World:
    """The same later."""
    return replace(made, now=now)


def flow(body: str, **values: Any) -> Flow:
    """A flow in English only."""
    return read_flow(f'name = "test"\nlanguages = ["en"]\n{body}')


def say(name: str, text: str = "Hello", **more: str) -> str:
    """A step that says something."""
    extra = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return f'[[steps]]\nid = "{name}"\ndo = "say"\ntext = {{ en = "{text}" }}\n{extra}'
