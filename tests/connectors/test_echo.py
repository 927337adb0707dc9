"""Echo: the contract, its format, and its file of what was sent."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.base import (
    BadPayload,
    Button,
    Change,
    ChannelConfig,
    Connector,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
)
from connectors.echo import EchoConnector
from connectors.journal import Journal
from tests.connectors.contract import ConnectorContract

MESSAGE: dict[str, Any] = {"id": "m-1", "author": "lyes", "text": "hello", "sent_at": "2026-03-01T13:00:00+01:00"}


class TestEcho(ConnectorContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = EchoConnector

    def samples(self) -> list[RawEvent]:
        more: list[dict[str, Any]] = [
            {},
            {"id": "m-2", "thread": "post-7", "kind": "comment", "name": "Lyès", "handle": "lyes_b"},
            {"id": "m-3", "text": "", "button": "csat:5"},
            {"id": "m-4", "text": "changed", "change": "edit"},
        ]
        return [RawEvent({**MESSAGE, **changes}) for changes in more]


def opened(journal: Path | None = None) -> EchoConnector:
    return EchoConnector(ChannelConfig({"journal": str(journal)} if journal else {}))


def test_a_message_is_read_whole() -> None:
    [message] = opened().read(RawEvent({**MESSAGE, "name": "Lyès", "thread": None, "kind": "review", "change": "edit"}))
    assert (message.external_id, message.thread_key, message.text) == ("m-1", "lyes", "hello")
    assert (message.author.external_id, message.author.name) == ("lyes", "Lyès")
    assert message.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (message.kind, message.change) == (MessageKind.REVIEW, Change.EDIT)


def test_a_message_without_a_time_is_of_now_and_one_without_a_zone_of_utc() -> None:
    before = datetime.now(UTC)
    [message] = opened().read(RawEvent({"id": "1", "author": "a"}))
    assert before <= message.sent_at <= datetime.now(UTC)
    [message] = opened().read(RawEvent({"id": "1", "author": "a", "sent_at": "2026-03-01T12:00:00"}))
    assert message.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ([], "JSON object"),
        ({"author": "a"}, "id"),
        ({"id": "1", "author": 7}, "author"),
        ({**MESSAGE, "kind": "letter"}, "letter"),
        ({**MESSAGE, "change": "burn"}, "burn"),
        ({**MESSAGE, "sent_at": 7}, "sent_at"),
        ({**MESSAGE, "sent_at": "yesterday"}, "yesterday"),
        ({**MESSAGE, "sent_at": "0001-01-01T00:00:00+14:00"}, "sent_at"),
    ],
)
def test_what_cannot_be_read_says_why(payload: Any, said: str) -> None:
    with pytest.raises(BadPayload, match=said):
        opened().read(RawEvent(payload))


async def test_what_it_sends_is_in_the_journal_once_a_line(tmp_path: Path) -> None:
    echo = opened(tmp_path / "sent.jsonl")
    message = OutboundMessage("k-1", "t", "lyes", "one\ntwo 👋", (Button("Oui", "yes"),))
    assert (await echo.direct_message(message)).external_id == "echo:k-1"
    await echo.reply(OutboundMessage("k-2", "t", "lyes", "three"))
    lines = [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text(encoding="utf-8").strip().split("\n")]
    assert lines == Journal(tmp_path / "sent.jsonl").lines()
    assert lines[0] == {
        "key": "k-1",
        "action": "direct_message",
        "thread": "t",
        "text": "one\ntwo 👋",
        "buttons": [["Oui", "yes"]],
    }
    assert (lines[1]["key"], lines[1]["action"]) == ("k-2", "reply")


async def test_it_knows_what_it_sent_and_what_it_did_not(tmp_path: Path) -> None:
    echo = opened(tmp_path / "sent.jsonl")
    message = OutboundMessage("k-1", "t", "lyes", "every end of a line: \n \r \x0b \x0c \x1c \x85 \u2028 \u2029 .")
    assert await echo.find_sent(message) is None
    await echo.direct_message(message)
    found = await echo.find_sent(message)
    assert found is not None
    assert found.external_id == "echo:k-1"
    assert Journal(tmp_path / "sent.jsonl").lines()[0]["text"] == message.text


async def test_without_a_journal_it_accepts_and_remembers_nothing() -> None:
    message = OutboundMessage("k-1", "t", "lyes", "hello")
    assert (await opened().direct_message(message)).external_id == "echo:k-1"
    assert await opened().find_sent(message) is None


async def test_a_text_above_the_limit_is_refused_and_not_cut(tmp_path: Path) -> None:
    echo = opened(tmp_path / "sent.jsonl")
    await echo.direct_message(OutboundMessage("k-1", "t", "lyes", "x" * 5000))
    with pytest.raises(Refused, match="5001"):
        await echo.direct_message(OutboundMessage("k-2", "t", "lyes", "x" * 5001))
    assert [line["key"] for line in Journal(tmp_path / "sent.jsonl").lines()] == ["k-1"]
