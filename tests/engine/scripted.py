"""A platform that does what a test tells it to: refuses, waits, is asked, is polled."""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from connectors.base import Connector, InboundMessage, Json, OutboundMessage, Page, RawEvent, Sent
from connectors.echo import EchoConnector
from socialcrm.engine.line import Line
from tests.story import Story

on_one_database = pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
"""For what no database can change: rules, words, waits. Making a PostgreSQL database takes longer than the test."""
Answer = Exception | asyncio.Event | None


@dataclass
class Script:
    """What a platform does next and what it got. Each answer is used once; after the last one all is accepted."""

    answers: deque[Answer] = field(default_factory=deque)
    """An error is raised, an event is waited for, None accepts."""
    got: list[str] = field(default_factory=list)
    """Texts that were accepted, in order."""
    tried: int = 0
    has: dict[str, Sent] = field(default_factory=dict)
    """Key -> what the platform says when it is asked whether it has this message."""
    asked: int = 0
    trouble: Exception | None = None
    """Raised when it is asked."""
    pages: deque[Page | Exception] = field(default_factory=deque)
    polled: list[Json] = field(default_factory=list)
    """The cursors it was polled with."""
    gate: asyncio.Event | None = None
    """A poll waits for it."""

    def accept(self, message: OutboundMessage) -> Sent:
        self.got.append(message.text)
        return Sent(f"theirs:{message.key}")


SCRIPTS: dict[str, Script] = {}
"""By the channel's setting `journal`, which is a path of its own in each test."""


class ScriptedConnector(EchoConnector):
    """Echo with a platform behind it that has a script."""

    name: ClassVar[str] = "scripted"
    label: ClassVar[str] = "Scripted"

    @property
    def script(self) -> Script:
        return SCRIPTS.setdefault(self.config.settings["journal"], Script())

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """Echo's format, with is_self and is_bot, and with a poison that no reading survives."""
        if isinstance(raw.payload, dict) and raw.payload.get("text") == self.config.settings.get("poison", "poison"):
            raise RuntimeError("the code has a mistake")
        who = {key: True for key in ("is_self", "is_bot") if isinstance(raw.payload, dict) and raw.payload.get(key)}
        return [replace(message, author=replace(message.author, **who)) for message in super().read(raw)]

    async def direct_message(self, message: OutboundMessage) -> Sent:
        self.script.tried += 1
        answer = self.script.answers.popleft() if self.script.answers else None
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif isinstance(answer, Exception):
            raise answer
        return self.script.accept(message)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        self.script.asked += 1
        if self.script.trouble:
            raise self.script.trouble
        return self.script.has.get(message.key)


class ForgetfulConnector(ScriptedConnector):
    """One that cannot be asked what it sent, and has no buttons."""

    name: ClassVar[str] = "forgetful"
    limits = replace(EchoConnector.limits, buttons=0)
    find_sent = Connector.find_sent


class PolledConnector(ScriptedConnector):
    """One that is polled."""

    name: ClassVar[str] = "polled"

    async def poll(self, cursor: Json) -> Page:
        self.script.polled.append(cursor)
        if self.script.gate:
            await self.script.gate.wait()
        page = self.script.pages.popleft() if self.script.pages else Page((), cursor)
        if isinstance(page, Exception):
            raise page
        return page


async def begin(line: Line, connector: str = "scripted", key: str = "") -> tuple[Story, Script]:
    """A story on a scripted channel, and its script."""
    story = await Story.begin(line, key or connector, connector)
    return story, SCRIPTS.setdefault(story.channel.settings["journal"], Script())
