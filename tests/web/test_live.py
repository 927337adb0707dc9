"""The stream of changes: exact catch-up after a gap, a reset when the log does not reach back, an end that is clean."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiohttp import ClientResponse
from sqlmodel import col, delete, update

from socialcrm.domain.rows import Change, WebSession
from socialcrm.engine.line import Line
from tests.web.browser import Browser, Site, site


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


@dataclass
class Event:
    """One server-sent event."""

    id: int
    name: str
    numbers: list[int]


async def follow(browser: Browser, cursor: int = 0, last: int | None = None) -> ClientResponse:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    answer = await browser.client.get(f"/live?cursor={cursor}", headers=headers)
    assert answer.status == 200
    assert answer.content_type == "text/event-stream"
    return answer


async def read(answer: ClientResponse) -> Event:
    """The next event of a stream."""
    fields: dict[str, str] = {}
    while True:
        received = await answer.content.readline()
        assert received, "the stream ended"
        line = received.decode().rstrip("\n")
        if not line and "event" in fields:
            numbers = [change["conversation"] for change in json.loads(fields["data"])]
            return Event(int(fields["id"]), fields["event"], numbers)
        name, _, value = line.partition(": ")
        fields[name] = value


async def change(here: Site, *numbers: int) -> None:
    async with here.line.database.write() as session:
        await here.line.live.publish(session, "message", numbers, here.line.now())
    here.line.live.ring()


async def test_a_page_that_was_away_gets_exactly_what_it_missed_once(here: Site) -> None:
    made = [(await here.conversation("x")).id or 0 for _ in range(4)]
    browser = await here.signed_in(await here.agent())
    stream = await follow(browser, await here.line.live.cursor())
    await change(here, made[0])
    first = await read(stream)
    assert (first.name, first.numbers) == ("changes", [made[0]])
    stream.close()
    await change(here, made[1])
    await change(here, made[2], made[1])
    again = await follow(browser, 0, last=first.id)
    missed = await read(again)
    assert missed.numbers == [made[1], made[2]]  # told once although it changed twice
    assert missed.id == await here.line.live.cursor()
    await change(here, made[3])
    assert (await read(again)).numbers == [made[3]]
    again.close()


async def test_the_page_holds_the_cursor_it_was_rendered_with(here: Site) -> None:
    conversation = await here.conversation("x")
    await change(here, conversation.id or 0)
    browser = await here.signed_in(await here.agent())
    page = await browser.text("/inbox")
    assert f'hx-sse:connect="/live?cursor={await here.line.live.cursor()}"' in page


async def test_a_cursor_that_the_log_does_not_reach_is_told_to_load_again(here: Site) -> None:
    conversation = await here.conversation("x")
    number = conversation.id or 0
    for _ in range(5):
        await change(here, number)
    newest = await here.line.live.cursor()
    async with here.line.database.write() as session:
        await session.execute(delete(Change).where(col(Change.id) <= newest - 2))
    browser = await here.signed_in(await here.agent())
    for cursor in (newest - 4, newest + 100):
        stream = await follow(browser, cursor)
        assert await read(stream) == Event(newest, "reset", [])
        stream.close()
    stream = await follow(browser, newest - 2)
    assert (await read(stream)).name == "changes"
    stream.close()


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 50, "١"])
async def test_a_cursor_that_is_no_number_counts_as_none(here: Site, cursor: str) -> None:
    conversation = await here.conversation("x")
    browser = await here.signed_in(await here.agent())
    await change(here, conversation.id or 0)
    stream = await browser.client.get("/live", params={"cursor": cursor})
    assert (await read(stream)).numbers == [conversation.id]
    stream.close()


async def test_the_stream_ends_when_its_session_has_expired(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socialcrm.web.live.ALIVE_SECONDS", 0.1)
    conversation = await here.conversation("x")
    browser = await here.signed_in(await here.agent())
    stream = await follow(browser, await here.line.live.cursor())
    async with here.line.database.write() as session:
        await session.execute(update(WebSession).values(expires_at=here.line.now() - timedelta(seconds=1)))
    await change(here, conversation.id or 0)
    assert await stream.content.read() is not None
    assert (await browser.get("/live")).status == 303


async def test_streams_end_by_themselves_when_the_server_stops(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    stream = await follow(browser)
    await here.server.app.shutdown()
    assert (await stream.content.read()).endswith(b"retry: 1000\n\n")
