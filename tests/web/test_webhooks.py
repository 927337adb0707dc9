"""The platforms' calls: everything true is kept before the 200, everything else is refused in words."""

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from sqlalchemy import func
from sqlmodel import select

from connectors.registry import connector_class
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.ledger import RawEventRow
from socialcrm.engine.line import Line
from tests.web.desk import Desk, desk

SECRET = "s3cret-of-the-shop"


@pytest.fixture
async def caller(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as caller:
        yield caller


def message(number: int, text: str = "bonjour") -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "author": {"id": "c1", "name": "Karim"},
        "sent_at": "2026-03-10T12:00:00Z",
        "text": text,
    }


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    moment = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-SocialCRM-Timestamp": moment, "X-SocialCRM-Signature": f"sha256={digest}"}


async def call(caller: Desk, key: str, body: bytes, **headers: str) -> ClientResponse:
    return await caller.ask("POST", f"/hooks/{key}", data=body, headers=headers or signed(body))


async def kept(line: Line) -> int:
    async with line.database.read() as session:
        return await session.scalar(select(func.count()).select_from(RawEventRow)) or 0


async def rejected(line: Line, channel: Channel) -> int:
    async with line.database.read() as session:
        return (await session.get_one(Channel, channel.id)).rejected_count


async def test_every_message_of_a_call_is_in_the_ledger_when_the_platform_hears_200(caller: Desk) -> None:
    channel = await caller.channel()
    body = json.dumps({"messages": [message(1), message(2), message(3)]}).encode()
    caller.line.work.clear()
    answer = await call(caller, channel.key, body)
    assert (answer.status, await answer.text()) == (200, "")
    assert await kept(caller.line) == 3
    assert caller.line.work.is_set()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-None": "x"},
        signed(b"{}", "another secret"),
        signed(b"{}", ""),
        {**signed(b"{}"), "X-SocialCRM-Signature": "sha256="},
        signed(b"{}", at=0),
        {**signed(b"{}"), "X-SocialCRM-Signature": "é\u0663"},
    ],
    ids=["none", "wrong", "empty", "blank", "old", "not ascii"],
)
async def test_a_forged_call_is_refused_counted_and_not_kept(caller: Desk, headers: dict[str, str]) -> None:
    channel = await caller.channel()
    answer = await call(caller, channel.key, b"{}", **headers)
    assert answer.status == 403
    assert await kept(caller.line) == 0
    assert await rejected(caller.line, channel) == 1


@pytest.mark.parametrize(
    ("connector", "credentials"), [("api", {}), ("api", {"secret": ""}), ("telegram", {"token": "1:a"})]
)
async def test_an_empty_secret_verifies_nobody(caller: Desk, connector: str, credentials: dict[str, str]) -> None:
    channel = await caller.channel(connector, credentials=credentials)
    for headers in (signed(b"{}", ""), {"X-Telegram-Bot-Api-Secret-Token": ""}):
        assert (await call(caller, channel.key, b"{}", **headers)).status == 403
    assert await kept(caller.line) == 0


async def test_a_body_over_the_limit_is_refused_with_and_without_its_length(caller: Desk) -> None:
    channel = await caller.channel()
    most = connector_class(channel.connector).limits.body_bytes
    large = b"x" * (most + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield large[: most // 2]
        yield large[most // 2 :]

    answer = await caller.ask("POST", f"/hooks/{channel.key}", data=io.BytesIO(large), headers=signed(large))
    assert answer.status == 413
    answer = await caller.ask("POST", f"/hooks/{channel.key}", data=pieces(), headers=signed(large))
    assert answer.status == 413
    packed = gzip.compress(large)
    answer = await caller.ask(
        "POST", f"/hooks/{channel.key}", data=packed, headers={**signed(large), "Content-Encoding": "gzip"}
    )
    assert answer.status == 413
    assert await kept(caller.line) == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"messages": 7}', b'"\\ud800"', b'{"a": "\\u0000"}']
)
async def test_a_signed_call_that_is_no_json_is_kept_for_a_person_to_look_at(caller: Desk, body: bytes) -> None:
    channel = await caller.channel()
    assert (await call(caller, channel.key, body)).status == 200
    assert await kept(caller.line) == 1


async def test_a_broken_packing_is_refused_without_a_server_error(caller: Desk) -> None:
    channel = await caller.channel()
    answer = await call(caller, channel.key, b"not gzip", **signed(b"not gzip"), **{"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert await kept(caller.line) == 0


@pytest.mark.parametrize("key", ["nobody", "%00", "%C3%A9", "a" * 5000, "%ED%A0%80"])
async def test_an_unknown_address_is_not_found(caller: Desk, key: str) -> None:
    assert (await caller.ask("POST", f"/hooks/{key}", data=b"{}")).status == 404


async def test_huge_headers_are_refused_without_a_server_error(caller: Desk) -> None:
    channel = await caller.channel()
    answer = await call(caller, channel.key, b"{}", **{"X-Long": "x" * 20_000})
    assert 400 <= answer.status < 500


async def test_a_paused_channel_loses_nothing(caller: Desk) -> None:
    channel = await caller.channel(status=ChannelStatus.PAUSED)
    assert (await call(caller, channel.key, json.dumps(message(1)).encode())).status == 200
    assert await kept(caller.line) == 1


async def test_a_database_that_is_away_makes_the_platform_send_again(
    caller: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = await caller.channel()
    body = json.dumps(message(1)).encode()

    def away() -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(caller.line.database, "write", away)
        answer = await call(caller, channel.key, body)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert (await call(caller, channel.key, body)).status == 200
    assert await kept(caller.line) == 1


async def test_calls_at_the_same_time_are_all_kept(caller: Desk) -> None:
    channel = await caller.channel()
    bodies = [json.dumps(message(number)).encode() for number in range(40)]
    answers = await asyncio.gather(*(call(caller, channel.key, body) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert await kept(caller.line) == 40


async def test_a_question_that_the_platform_never_asks_is_answered_with_what_the_address_takes(caller: Desk) -> None:
    channel = await caller.channel()
    answer = await caller.ask("GET", f"/hooks/{channel.key}", params={"hub.challenge": "1"})
    assert (answer.status, answer.headers.get("Allow")) == (405, "POST")
    assert (await caller.ask("GET", "/hooks/nobody")).status == 404
    assert await rejected(caller.line, channel) == 0
    assert await kept(caller.line) == 0
