"""Files of rows: CSV or JSONL, plain or gzipped, read without holding them in memory."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from connectors.base import RawEvent

MALFORMED = "malformed"
"""Key of a payload that holds a row which could not be read, with the `reason`."""
LONGEST_LINE = 1_000_000
KEPT = 2_000
"""Signs of a malformed line that are kept to look at."""


def read_archive(path: Path) -> Iterator[RawEvent]:
    """The rows of a file with their line numbers; a malformed row is yielded as such and the rest goes on."""
    with _open(path) as file:
        lines = _lines(file)
        if ".csv" in path.suffixes or ".tsv" in path.suffixes:
            yield from _csv_rows(lines)
        else:
            yield from (_json_row(number, line) for number, line in lines if line.strip())


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")  # type: ignore[return-value]


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(LONGEST_LINE + 1)
        except (EOFError, OSError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
            yield number, b"\x00the file ends too early: " + str(error).encode()
            return
        if not line:
            return
        if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                continue
        yield number, line


def _json_row(number: int, line: bytes) -> RawEvent:
    if len(line) > LONGEST_LINE:
        return _malformed(number, line, f"the line is longer than {LONGEST_LINE:,} bytes")
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode())
    except UnicodeDecodeError as error:
        return _malformed(number, line, f"not UTF-8 at byte {error.start + 1}")
    except (json.JSONDecodeError, RecursionError) as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return _malformed(number, line, f"not valid JSON{place}")
    if not isinstance(row, dict):
        return _malformed(number, line, "expected a JSON object")
    return RawEvent(row, line_number=number)


def _csv_rows(lines: Iterator[tuple[int, bytes]]) -> Iterator[RawEvent]:
    first = next(lines, None)
    if first is None:
        return
    header = first[1].removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    delimiter = max(",;\t|", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter))
    csv.field_size_limit(LONGEST_LINE + 1)
    counter = [first[0]]
    rows = csv.reader(_text(lines, counter), delimiter=delimiter)
    while True:
        number = counter[0] + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield _malformed(number, b"", f"not valid CSV: {error}")
            continue
        if not cells:
            continue
        text = delimiter.join(cells)
        if any("\udc80" <= sign <= "\udcff" for sign in text):
            yield _malformed(number, text.encode(errors="surrogateescape"), "not UTF-8; save the file as UTF-8")
        elif len(cells) != len(names):
            yield _malformed(number, text.encode(), f"{len(cells)} cells, but the header names {len(names)}")
        else:
            yield RawEvent(dict(zip(names, cells, strict=True)), line_number=number)


def _text(lines: Iterator[tuple[int, bytes]], counter: list[int]) -> Iterator[str]:
    """Lines as text for the CSV reader; `counter` follows, because one row may stand on several lines."""
    for number, line in lines:
        counter[0] = number
        yield line.decode(errors="surrogateescape")


def _malformed(number: int, line: bytes, reason: str) -> RawEvent:
    return RawEvent({MALFORMED: line[:KEPT].decode(errors="backslashreplace"), "reason": reason}, line_number=number)
