"""Webhooks out: signed, without personal data, tried again, and never into a private network unless that is allowed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from socialcrm.domain.rows import Hook, HookCall
from socialcrm.engine import hooks
from socialcrm.engine.hooks import HookError, add, check_url, is_private, secret_of, signature
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.ruled import begin, rule
from tests.engine.scripted import on_one_database
from tests.story import Story

CALLS = rule("Tell", [{"do": "webhook", "hook": "erp"}])
ALLOWED = {"may_call_private": True}


@dataclass
class Receiver:
    """Another system."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[Any, bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers, await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, text="busy" if status >= 400 else None, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    here = Receiver()
    app = web.Application()
    app.router.add_post("/hook", here.take)
    async with TestServer(app, host="127.0.0.1") as server:
        here.url = str(server.make_url("/hook"))
        yield here


async def keep(story: Story, url: str) -> Hook:
    async with story.line.database.write() as session:
        return await add(session, story.line, "erp", url)


async def test_a_call_is_signed_masked_and_tried_again_until_it_is_taken(line: Line) -> None:
    story, clock = await begin(line, CALLS, rules=ALLOWED)
    async with receiver() as there:
        hook = await keep(story, there.url)
        there.answers = [503, 302]
        await story.customer_writes("rappelez moi au 0550123456 svp", author="0550123456")
        for waits in (0, 29, 1, 119, 1):
            clock.forward(seconds=waits)
            await drain(story.line)
    assert len(there.got) == 3
    headers, body = there.got[-1]
    assert headers["X-SocialCRM-Signature"] == signature(
        secret_of(story.line, hook), headers["X-SocialCRM-Timestamp"], body
    )
    assert int(headers["X-SocialCRM-Timestamp"]) == int(clock.at.timestamp())
    assert len({headers["X-SocialCRM-Delivery"] for headers, _ in there.got}) == 1
    assert b"0550123456" not in body
    told = json.loads(body)
    assert (told["event"], told["rule"], told["message"]["text"]) == ("message", "Tell", "rappelez moi au [phone] svp")
    [call] = await story.rows(HookCall)
    assert (call.status, call.attempt_count, call.response_status) == ("sent", 3, 204)


@on_one_database
async def test_after_the_last_try_a_call_has_failed_with_the_other_sides_words(line: Line) -> None:
    story, clock = await begin(line, CALLS, rules=ALLOWED)
    async with receiver() as there:
        await keep(story, there.url)
        there.answers = [500] * 20
        await story.customer_writes("hello")
        for wait in hooks.WAITS:
            clock.forward(seconds=wait.total_seconds())
            await drain(story.line)
    [call] = await story.rows(HookCall)
    assert (call.status, call.attempt_count) == ("failed", len(hooks.WAITS) + 1)
    assert call.reason == "The other side answered 500: busy"


@on_one_database
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.7", "169.254.169.254"]
)
async def test_no_call_leads_into_a_private_network_unless_the_settings_allow_it(line: Line, host: str) -> None:
    story, _ = await begin(line, CALLS)
    await keep(story, f"http://{host}:9/hook")
    await story.customer_writes("hello")
    [call] = await story.rows(HookCall)
    assert (call.status, call.response_status, call.reason) == ("waiting", None, hooks.PRIVATE)


@on_one_database
async def test_a_rule_that_calls_nobody_says_so_in_the_trace(line: Line) -> None:
    story, _ = await begin(line, CALLS)
    await story.customer_writes("hello")
    assert "there is no webhook called 'erp'" in str(await story.trace((await story.messages())[-1]))


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "https://", "http://u:p@example.com", "http://x:99999", "javascript:1"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(HookError):
        check_url(url)


@pytest.mark.parametrize(
    ("address", "private"),
    [("8.8.8.8", False), ("192.168.1.1", True), ("fe80::1%eth0", True), ("100.64.0.1", True), ("224.0.0.1", True)],
)
def test_which_addresses_are_private(address: str, private: bool) -> None:
    assert is_private(address) is private
