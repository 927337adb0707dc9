"""A platform that does what a test tells it to: refuses, waits, is asked, is polled."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

import pytest

from connectors.base import Account, Connector, InboundMessage, Json, OutboundMessage, Page, Post, Quota, RawEvent, Sent
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
    posts: dict[str, Post | Exception] = field(default_factory=dict)
    """What it says of a post; nothing of others."""
    asked_for: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """A poll waits for it."""
    quota: Quota | None = None
    account: Account | Exception = field(default_factory=lambda: Account("1", "@shop"))
    connected: int = 0
    finds: deque[Page | Exception] = field(default_factory=deque)
    searched: list[tuple[str, Json]] = field(default_factory=list)
    past: list[Page | BaseException] = field(default_factory=list)
    """What is there to be read back."""
    since: list[datetime] = field(default_factory=list)

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

    async def post(self, external_id: str) -> Post:
        self.script.asked_for.append(external_id)
        found = self.script.posts[external_id]
        if isinstance(found, Exception):
            raise found
        return found

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


class UnbuttonedConnector(EchoConnector):
    """Echo without buttons, as SMS and e-mail are."""

    name: ClassVar[str] = "unbuttoned"
    limits = replace(EchoConnector.limits, buttons=0)


class PublicConnector(ScriptedConnector):
    """One that answers comments where everybody reads it, and in no other way."""

    name: ClassVar[str] = "public"
    private_reply = Connector.private_reply


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


class VersatileConnector(PolledConnector):
    """One that is polled, searched and read back, adapts, has a quota, and says who we are."""

    name: ClassVar[str] = "versatile"
    label: ClassVar[str] = "Versatile"
    poll_seconds: ClassVar[float] = 60.0
    slowest_poll_seconds: ClassVar[float] = 600.0

    @property
    def quota(self) -> Quota | None:
        return self.script.quota

    async def connect(self) -> Account:
        self.script.connected += 1
        if isinstance(self.script.account, Exception):
            raise self.script.account
        return self.script.account

    async def search(self, query: str, cursor: Json) -> Page:
        self.script.searched.append((query, cursor))
        page = self.script.finds.popleft() if self.script.finds else Page((), cursor)
        if isinstance(page, Exception):
            raise page
        return page

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        self.script.since.append(since)
        for page in list(self.script.past):
            if isinstance(page, BaseException):
                raise page
            yield page


async def begin(line: Line, connector: str = "scripted", key: str = "") -> tuple[Story, Script]:
    """A story on a scripted channel, and its script."""
    story = await Story.begin(line, key or connector, connector)
    return story, SCRIPTS.setdefault(story.channel.settings["journal"], Script())
