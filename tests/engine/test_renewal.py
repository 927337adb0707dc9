"""Tokens that end: renewed before they are used, once over all processes, kept whatever happens in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from connectors.base import TryLater
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import Channel
from socialcrm.engine import collect
from socialcrm.engine.line import Line
from socialcrm.engine.renewal import CLAIM
from tests.engine.scripted import on_one_database
from tests.servers.x import CLIENT, SECRET, XServer, x_server

SCOPE = "tweet.read users.read offline.access tweet.write tweet.moderate.write like.write"


@dataclass
class Signed:
    """A channel of X that was signed in, and the processes that work on it."""

    x: XServer
    lines: list[Line]
    number: int

    async def channel(self) -> Channel:
        async with self.lines[0].database.read() as session:
            return await session.get_one(Channel, self.number)

    async def credentials(self) -> dict[str, str]:
        return self.lines[0].vault.decrypt((await self.channel()).credentials)

    async def change(self, **values: object) -> None:
        """Write credentials as they would be had time passed or something happened."""
        kept = {**await self.credentials(), **{key: str(value) for key, value in values.items()}}
        async with self.lines[0].database.write() as session:
            (await session.get_one(Channel, self.number)).credentials = self.lines[0].vault.encrypt(kept)

    async def in_the_middle(self, work: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
        """`work`, which has got as far as asking X for a token and waits for the gate."""
        self.x.gate = asyncio.Event()
        task, reached = asyncio.ensure_future(work), asyncio.ensure_future(self.x.reached.wait())
        await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
        assert reached.done()
        return task

    async def like(self, line: Line) -> None:
        """Something that a process asks of X."""
        await (await line.channels.connector(self.number)).like("1301573587187331074")


@pytest.fixture
async def signed(line: Line, pipeline: Pipeline) -> AsyncIterator[Signed]:
    async with AsyncExitStack() as stack:
        x = await stack.enter_async_context(x_server())
        others = [await stack.enter_async_context(open_line(line.settings, pipeline=pipeline)) for _ in range(2)]
        token = x.give(SCOPE)
        kept = {"client_secret": SECRET, "access_token": token["access_token"], "scope": SCOPE}
        kept |= {"refresh_token": token["refresh_token"], "expires_at": f"{time.time() + 7200:.0f}"}
        channel = Channel(
            connector="x",
            key="x",
            name="@XDevelopers",
            settings={"api_url": x.url, "account_id": x.me["id"], "client_id": CLIENT, "messages": "leave"},
            credentials=line.vault.encrypt(kept),
            created_at=line.now(),
            changed_at=line.now(),
        )
        async with line.database.write() as session:
            session.add(channel)
        yield Signed(x, [line, *others], channel.id or 0)


async def test_a_token_that_ends_is_renewed_once_however_many_processes_use_it(signed: Signed) -> None:
    before = await signed.credentials()
    await signed.change(expires_at=time.time() + 60)
    calls = [signed.like(line) for line in signed.lines for _ in range(3)]
    await asyncio.gather(*calls, *(collect.collect(line, signed.number) for line in signed.lines))
    after, channel = await signed.credentials(), await signed.channel()
    assert signed.x.renewals == 1
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] in signed.x.refresh
    assert after["client_secret"] == SECRET
    assert CLAIM not in after
    assert (channel.status, channel.error) == ("active", "")
    assert after["refresh_token"] not in channel.credentials
    await asyncio.gather(*(signed.like(line) for line in signed.lines))
    assert signed.x.renewals == 1


@on_one_database
async def test_a_token_that_another_process_renewed_in_between_signs_nobody_out(signed: Signed) -> None:
    ours, theirs, _ = signed.lines
    await signed.like(ours)
    await signed.change(expires_at=0)  # as `theirs` reads it; `ours` believes that its token lasts
    await signed.like(theirs)
    with pytest.raises(TryLater, match="renewed"):
        await signed.like(ours)
    await signed.like(ours)
    assert signed.x.renewals == 1


@on_one_database
async def test_a_sign_in_that_x_takes_no_more_is_lost_in_xs_words(signed: Signed) -> None:
    await signed.change(expires_at=0, refresh_token="one that was used")
    await collect.collect(signed.lines[0], signed.number)
    channel = await signed.channel()
    assert (channel.status, channel.error) == ("signed_out", "X: Value passed for the token was invalid.")
    assert CLAIM not in await signed.credentials()


@on_one_database
async def test_while_x_gives_no_tokens_the_old_one_is_used_to_its_end_and_then_we_wait(signed: Signed) -> None:
    signed.x.down = 503
    await signed.change(expires_at=time.time() + 60)
    await signed.like(signed.lines[0])
    await signed.change(expires_at=0)
    await collect.collect(signed.lines[1], signed.number)
    channel = await signed.channel()
    assert (channel.status, channel.error) == ("active", "X answered 503 when asked for a token.")
    signed.x.down = 0
    await signed.like(signed.lines[1])


@on_one_database
async def test_what_x_gives_is_kept_although_nobody_waits_for_it_any_more(signed: Signed) -> None:
    line = signed.lines[1]
    await signed.change(expires_at=0)
    asking = await signed.in_the_middle(signed.like(line))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    signed.x.open_gate()
    await line.channels.close()
    assert (await signed.credentials())["refresh_token"] in signed.x.refresh
    await signed.like(signed.lines[0])
    assert signed.x.renewals == 1


@on_one_database
async def test_the_claim_of_a_process_that_was_killed_counts_no_more_after_a_minute(signed: Signed) -> None:
    await signed.change(expires_at=0, **{CLAIM: time.time() - 1})
    await signed.like(signed.lines[0])
    assert signed.x.renewals == 1


@on_one_database
async def test_a_channel_that_was_disconnected_meanwhile_stays_disconnected(signed: Signed) -> None:
    await signed.change(expires_at=0)
    polling = await signed.in_the_middle(collect.collect(signed.lines[0], signed.number))
    async with signed.lines[1].database.write() as session:
        (await session.get_one(Channel, signed.number)).credentials = ""
    signed.x.open_gate()
    await polling
    assert (await signed.channel()).credentials == ""
