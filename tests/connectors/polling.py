"""What every connector must do that is polled over HTTP."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from connectors.base import ConnectorError, Json, Page, RawEvent, Refused, TryLater
from tests.connectors.contract import NOW, ConnectorContract, read
from tests.connectors.troubles import HTML, breakdowns, nonsense, told
from tests.servers.platform import platform, serving

MOST_POLLS = 40


@dataclass
class Road:
    """Between us and a platform: the call number `broken_at`, counted from 0, gets something else than its answer."""

    status: int = 429
    """0: the connection ends."""
    broken_at: int | None = None
    calls: list[str] = field(default_factory=list)

    def open(self, app: web.Application) -> web.Application:
        """The same platform at the end of this road."""

        @web.middleware
        async def pass_on(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.calls.append(request.path)
            if len(self.calls) - 1 != self.broken_at:
                return await handler(request)
            if not self.status and request.transport:
                request.transport.abort()
            return web.Response(status=self.status or 500, body=HTML, headers={"Retry-After": "35"})

        app.middlewares.append(pass_on)
        return app


class PollContract(ConnectorContract):
    """For connectors that are polled over HTTP."""

    unreadable: ClassVar[tuple[type[ConnectorError], ...]] = (TryLater, Refused)
    """What a poll raises whose answer is none."""

    start: ClassVar[Json] = None
    """The cursor from which on `news` is asked for; None: from when the channel was connected."""

    def news(self) -> web.Application:
        """A platform that takes several calls to tell what is new, and has nothing new when it was told."""
        raise NotImplementedError

    def test_it_is_polled(self) -> None:
        assert self.connector.can("poll")

    async def test_what_is_new_comes_once_and_reads_the_same_each_time(self) -> None:
        first, second = await self._drained(Road()), await self._drained(Road())
        assert len(first) > 1
        assert [raw.payload for raw in first] == [raw.payload for raw in second]
        connector = self.connector(self.config())
        for raw in first:
            assert read(connector, raw) == read(connector, raw)
        assert any(read(connector, raw) for raw in first)
        assert len({json.dumps(raw.payload) for raw in first}) == len(first), "what was told is not told again"

    async def test_trouble_at_any_call_of_a_poll_loses_nothing(self) -> None:
        """Neither what came before it, nor what would have come after; not even where we are started anew meanwhile."""
        road = Road()
        whole = self._messages(await self._drained(road))
        for number in range(len(road.calls)):
            for status in (429, 0):
                found = self._messages(await self._drained(Road(status, number)))
                assert found == whole, f"{status or 'a broken connection'} at call {number}, {road.calls[number]}"

    async def test_every_platforms_troubles_with_a_poll_become_errors_that_the_engine_knows(self) -> None:
        async with platform() as here:
            here.answers |= self.signing_in()
            for trouble in (*self.refusals(), *breakdowns()):
                here.answer = trouble.answer
                if trouble in breakdowns():
                    trouble = replace(trouble, means=(TryLater,))
                error = await self._refused(here.url)
                assert not told(trouble, error)
            for answer in nonsense():
                here.answer = answer
                error = await self._refused(here.url)
                assert isinstance(error, self.unreadable), f"{answer.body[:20]!r} became {error!r}"

    async def _refused(self, url: str) -> ConnectorError:
        connector = self.connector(self.config_at(url))
        try:
            with pytest.raises(ConnectorError) as raised:
                await connector.poll(None)
        finally:
            await connector.close()
        return raised.value

    async def _drained(self, road: Road) -> list[RawEvent]:
        """All that is new, over as many polls as that takes, each by a connector that knows only the cursor."""
        found: list[RawEvent] = []
        cursor, is_heard, quiet = self.start, False, 0
        async with serving(road.open(self.news())) as url:
            for _ in range(MOST_POLLS):
                connector = self.connector(self.config_at(url))
                try:
                    page: Page = await connector.poll(cursor)
                except TryLater:
                    continue
                finally:
                    await connector.close()
                cursor = json.loads(json.dumps(page.cursor))
                found += page.events
                is_heard = is_heard or bool(page.events)
                if page.more:
                    continue
                quiet, is_heard = 0 if is_heard else quiet + 1, False
                if quiet == 2:
                    return found
        raise AssertionError(f"after {MOST_POLLS} polls there is still something new")

    def _messages(self, events: Sequence[RawEvent]) -> dict[str, str]:
        """What was said, by its id: what comes again with an id that is known is no second message."""
        connector = self.connector(self.config())
        read_of = [read(connector, replace(raw, received_at=raw.received_at or NOW)) or [] for raw in events]
        return {message.external_id: message.text for messages in read_of for message in messages}
