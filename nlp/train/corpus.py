"""Every text there is to train on: the rows of the data sets, made messages and messages written by hand."""

import zlib
from collections.abc import Iterator
from pathlib import Path

from nlp.rows import read
from nlp.train.grammar import Message, messages

WRITTEN = Path(__file__).parent / "messages" / "written"


_HELD_PERCENT = 8


def _message(text: str, language: str, intent: str, sentiment: str, reason: str) -> Message:
    """Return a written message; about 8 % of them, always the same ones, are held out."""
    complaint = "complaint" if intent in ("complaint", "leaving") else "other"
    held = zlib.crc32(text.encode()) % 100 < _HELD_PERCENT
    return Message(text, language, intent, sentiment, complaint, held, reason, "written")


def written(folder: Path = WRITTEN) -> Iterator[Message]:
    """Yield the hand-written messages: files <language>[.<part>].txt with `== intent / sentiment / reason` headers.

    Raises ValueError with file and line where a message has no header above it or a header has not three parts.
    """
    for path in sorted(folder.glob("*.txt")):
        language = path.name.split(".")[0]
        header: list[str] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith("=="):
                header = [part.strip() for part in line[2:].strip("= ").split("/")]
                if len(header) != 3:
                    raise ValueError(f"{path}:{number}: expected == intent / sentiment / reason")
            elif line.strip():
                if not header:
                    raise ValueError(f"{path}:{number}: a message before any header")
                intent, sentiment, reason = header
                yield _message(line.strip(), language, intent, sentiment, "" if reason == "-" else reason)


def all_texts(data: Path) -> Iterator[str]:
    """Yield every text that the vocabulary should cover."""
    for path in sorted(data.glob("*.jsonl.gz")):
        yield from (row.text for row in read([path]))
    yield from (one.text for one in written())
    yield from (message.text for message in messages(30_000, 7))
