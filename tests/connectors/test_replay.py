"""Archives: the contract, the forms of files and times, and rows that cannot be read."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.archive import LONGEST_LINE
from connectors.base import BadPayload, ChannelConfig, Connector, MessageKind, OutboundMessage, RawEvent
from connectors.replay import PAGE, TIME_FORMATS, ReplayConnector, content_id, read_time
from tests.connectors.contract import ConnectorContract

ROW: dict[str, Any] = {"text": "Where is my bag?", "author": "nadia", "created": "2026-03-01T12:00:00Z"}
START = {"run": "r", "row": 0, "is_done": False}


class TestReplay(ConnectorContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = ReplayConnector

    def samples(self) -> list[RawEvent]:
        more: list[dict[str, Any]] = [
            {},
            {"id": "t-2", "thread": "t", "kind": "comment"},
            {"text": "other", "name": "N"},
        ]
        return [RawEvent({**ROW, **changes}, line_number=n) for n, changes in enumerate(more, start=1)]


async def rows_of(file: Path, **settings: Any) -> list[RawEvent]:
    connector = ReplayConnector(ChannelConfig({"file": str(file), **settings}))
    cursor: dict[str, Any] = START
    events: list[RawEvent] = []
    while not cursor["is_done"]:
        page = await connector.poll(cursor)
        events += page.events
        cursor = page.cursor
    return events


def reasons(events: Sequence[RawEvent]) -> dict[int | None, str]:
    """Line -> why it cannot be read."""
    found = {}
    for event in events:
        try:
            ReplayConnector(ChannelConfig()).read(event)
        except BadPayload as error:
            found[event.line_number] = error.reason
    return found


async def test_a_reading_that_was_stopped_goes_on_at_any_row(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    total = PAGE * 2 + 7
    file.write_text("".join(json.dumps({"text": f"{n}"}) + "\n" for n in range(total)))
    page = await ReplayConnector(ChannelConfig({"file": str(file)})).poll({**START, "row": PAGE - 3})
    assert [e.payload["text"] for e in page.events] == [f"{n}" for n in range(PAGE - 3, 2 * PAGE - 3)]
    assert (page.cursor["row"], page.more) == (2 * PAGE - 3, True)
    assert [e.payload["text"] for e in await rows_of(file)] == [f"{n}" for n in range(total)]


async def test_a_line_of_any_length_costs_no_other_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    sizes = [LONGEST_LINE + extra for extra in (-20, -1, 0, 1, 2, LONGEST_LINE, 3 * LONGEST_LINE + 5)]
    with file.open("w") as lines:
        for size in sizes:
            empty = json.dumps({"text": ""})
            lines.write(json.dumps({"text": "x" * (size - len(empty) - 1)}) + "\n")  # `size` bytes, line end included
            lines.write('{"text": "short"}\n')
    events = await rows_of(file)
    assert [e.line_number for e in events] == list(range(1, 2 * len(sizes) + 1))
    assert sum(e.payload.get("text") == "short" for e in events) == len(sizes)
    assert set(reasons(events)) == {7, 9, 11, 13}


async def test_a_file_that_ends_too_early_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"text": "row %d"}\n' % n for n in range(5000)), mtime=0)
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(whole[: len(whole) // 2])
    events = await rows_of(file)
    found = reasons(events)
    assert len(events) > 100
    assert list(found) == [len(events)]
    assert "ends too early" in str(events[-1].payload)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_a_table_is_read_with_the_delimiter_that_it_has(tmp_path: Path, delimiter: str) -> None:
    file = tmp_path / "a.csv"
    rows = [["Tweet", "User Name", "tweet_created"], ['"she said, ""no""; | ok"', "nadia", "2026-03-01"], ["short"]]
    rows[0] = ["Text", "user_name", "tweet_created"]
    file.write_bytes("\r\n".join(delimiter.join(row) for row in rows).encode("utf-8-sig"))
    good, bad = await rows_of(file)
    [message] = ReplayConnector(ChannelConfig()).read(good)
    assert (message.text, message.author.external_id) == ('she said, "no"; | ok', "nadia")
    assert reasons([bad]) == {3: "line 3: 1 cells, but the header names 3"}


async def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.csv.gz"):
        (tmp_path / name).write_bytes(b"")
        assert await rows_of(tmp_path / name) == []


async def test_rows_can_be_put_in_the_order_of_their_times(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({**ROW, "created": f"2026-03-0{n}"}) + "\n" for n in (3, 1, 2)))
    assert [e.line_number for e in await rows_of(file, is_sorted=True)] == [2, 3, 1]


def test_columns_can_be_named_by_hand() -> None:
    connector = ReplayConnector(ChannelConfig({"map": {"text": "what", "author": "who", "created": "when"}}))
    [message] = connector.read(RawEvent({"what": "hi", "who": "lila", "when": 1772366400, "text": "not this"}))
    assert (message.text, message.thread_key) == ("hi", "lila")
    assert message.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert message.kind is MessageKind.MENTION


def test_a_row_without_an_id_has_the_same_one_whatever_the_order_of_its_columns() -> None:
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1}) != content_id({"a": 1, "b": 3})


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T13:05:00+01:00",
        "2026-03-01 12:05",
        "1772366700",
        1772366700,
        1772366700000,
        "01/03/2026 12:05",
        "01-03-2026 12.05",
        "Sun Mar 01 12:05:00 +0000 2026",
    ],
)
def test_times_are_read_in_the_forms_that_archives_have(written: Any) -> None:
    assert read_time(written) == datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


def test_every_form_of_a_time_is_read_as_it_was_written() -> None:
    at = datetime(2026, 3, 21, 12, 5, tzinfo=UTC)
    assert [form for form in TIME_FORMATS if read_time(at.strftime(form)) != at] == []


@pytest.mark.parametrize("written", ["yesterday", "nan", "inf", [], "0001-01-01T00:00:00+14:00", "31/31/2026 10:00"])
def test_a_time_that_cannot_be_read_is_named_with_its_line(written: Any) -> None:
    if written == []:
        assert reasons([RawEvent({**ROW, "created": written}, line_number=9)])[9].startswith("line 9: created: '[]'")
        return
    assert reasons([RawEvent({**ROW, "created": written}, line_number=9)])[9].startswith("line 9: created: ")


async def test_answers_go_into_the_journal_and_are_found_there(tmp_path: Path) -> None:
    connector = ReplayConnector(ChannelConfig({"journal": str(tmp_path / "answers.jsonl")}))
    message = OutboundMessage("k-1", "t", "nadia", "x" * 100_000)
    assert await connector.find_sent(message) is None
    await connector.reply(message)
    assert await connector.find_sent(message) is not None
    assert not connector.is_polled
