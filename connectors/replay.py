"""Replay: an archive (CSV or JSONL, plain or gzipped) as a channel."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import ClassVar

from connectors.archive import MALFORMED, read_archive
from connectors.base import (
    Author,
    BadPayload,
    ChannelConfig,
    Connector,
    InboundMessage,
    Json,
    Limits,
    MessageKind,
    OutboundMessage,
    Page,
    RawEvent,
    Sent,
)
from connectors.journal import Journal

COLUMNS = {
    "text": "text message body content tweet comment texte full_text review post",
    "author": "author author_id user username user_name screen_name handle from auteur sender name",
    "id": "id tweet_id message_id external_id post_id comment_id",
    "created": "created created_at sent_at date timestamp time datetime tweet_created posted_at",
    "name": "author_name display_name full_name",
    "kind": "kind",
    "thread": "thread thread_id conversation_id",
}
"""Our word -> names that a column of that meaning has in archives."""
TIME_FORMATS = (
    "%d-%m-%Y %H.%M",
    "%d-%m-%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%a %b %d %H:%M:%S %z %Y",
    "%Y-%m-%d %H:%M:%S %z",
)
PAGE = 1000


class ReplayConnector(Connector):
    """Reads the rows of a file; answers go into a journal, if one is named, and to nobody.

    Settings: `file`; `map` (our word -> column); `is_sorted` (oldest row first instead of the file's order);
    `journal` (a JSONL file for answers). The cursor is {"run", "row", "is_done"}.
    """

    name: ClassVar[str] = "replay"
    label: ClassVar[str] = "Archive"
    limits: ClassVar[Limits] = Limits(text_length=100_000)
    has_account: ClassVar[bool] = False

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._rows: Iterator[RawEvent] | None = None
        self._at = 0

    @property
    def is_polled(self) -> bool:
        """The replay command reads an archive; the engine does not."""
        return False

    async def poll(self, cursor: Json) -> Page:
        """The next rows after the cursor's row; a row that cannot be read is an event too, with its line number."""
        start = int(cursor["row"])
        if self._rows is None or self._at != start:
            self._rows = islice(self._events(), start, None)
        events = tuple(islice(self._rows, PAGE))
        self._at = start + len(events)
        is_done = len(events) < PAGE
        return Page(events, {**cursor, "row": self._at, "is_done": is_done}, more=not is_done)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """One row -> one message. Raises BadPayload with the line's number."""
        row, where = raw.payload, f"line {raw.line_number}"
        if not isinstance(row, dict) or MALFORMED in row:
            raise BadPayload(f"{where}: {row.get('reason') if isinstance(row, dict) else 'expected an object'}")
        found = {word: row.get(column) for word, column in self._columns(row).items()}
        text = found.get("text")
        if not isinstance(text, str) or not text.strip():
            names = ", ".join(map(str, row)) or "nothing"
            raise BadPayload(f"{where}: no text in it (it has {names}); --map text=COLUMN names the column")
        author = str(found.get("author") or "anonymous")
        try:
            return [
                InboundMessage(
                    external_id=str(found.get("id") or content_id(row)),
                    thread_key=str(found.get("thread") or author),
                    author=Author(author, name=str(found.get("name") or author), handle=author),
                    sent_at=read_time(found.get("created")),
                    text=text,
                    kind=MessageKind(found.get("kind") or MessageKind.MENTION),
                )
            ]
        except ValueError as error:
            raise BadPayload(f"{where}: {error}") from error

    async def reply(self, message: OutboundMessage) -> Sent:
        """Write a public answer into the journal."""
        return self._write(message, "reply")

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Write a private answer into the journal."""
        return self._write(message, "direct_message")

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Look the message up in the journal; without one, writing it again does no harm."""
        path = self.config.settings.get("journal")
        return Sent(f"replay:{message.key}") if path and Journal(Path(path)).has(message.key) else None

    def _write(self, message: OutboundMessage, action: str) -> Sent:
        if path := self.config.settings.get("journal"):
            Journal(Path(path)).add(message, action)
        return Sent(f"replay:{message.key}")

    def _events(self) -> Iterator[RawEvent]:
        events = read_archive(Path(self.config.settings["file"]))
        if not self.config.settings.get("is_sorted"):
            return events
        return iter(sorted(events, key=self._time_of))

    def _time_of(self, event: RawEvent) -> datetime:
        try:
            return self.read(event)[0].sent_at
        except BadPayload:
            return datetime.min.replace(tzinfo=UTC)

    def _columns(self, row: dict[str, Json]) -> dict[str, str]:
        given: dict[str, str] = self.config.settings.get("map") or {}
        lower = {str(name).strip().lower(): name for name in row}
        guessed = {
            word: next((lower[name] for name in names.split() if name in lower), "") for word, names in COLUMNS.items()
        }
        return {**guessed, **given}


def content_id(row: dict[str, Json]) -> str:
    """An id for a row without one: the same for the same content, whatever the order of its columns."""
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def read_time(value: Json) -> datetime:
    """Aware UTC from ISO 8601, unix seconds or milliseconds, or a common written form (day before month); a time
    without a zone is UTC; now when there is none. Raises ValueError."""
    if value is None or value == "":
        return datetime.now(UTC)
    try:
        number = float(value)
        return datetime.fromtimestamp(number / 1000 if abs(number) > 1e11 else number, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        found = _written_time(str(value).strip())
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError("created: too near to the first or last year") from None


def _written_time(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        for form in TIME_FORMATS:
            try:
                return datetime.strptime(value, form)
            except ValueError:
                continue
    raise ValueError(f"created: {value[:60]!r} is not a time that we can read; write it as 2026-01-31T14:05:00Z")
