"""Labelled rows: one JSON object a line, plain or gzipped."""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

TASKS = ("language", "sentiment", "complaint", "intent", "reason")


@dataclass(frozen=True, slots=True)
class Row:
    """A text with the label that people gave it for one task."""

    text: str
    lang: str
    task: str
    label: str
    source: str


def parse(line: str, source: str) -> Iterator[Row]:
    """Read one line: {text, lang, task, label[, source]}, or {text, lang} with a key for each labelled task.

    Raises ValueError when the line is neither.
    """
    stored = json.loads(line)
    text = stored.get("text") if isinstance(stored, dict) else None
    if text is None or not isinstance(text, str):
        raise ValueError("a row is a JSON object with a text")
    lang = str(stored.get("lang", ""))
    if "task" in stored:
        yield Row(text, lang, str(stored["task"]), str(stored["label"]), str(stored.get("source", source)))
        return
    if lang:
        yield Row(text, lang, "language", lang, source)
    for task in TASKS[1:]:
        if stored.get(task):
            yield Row(text, lang, task, str(stored[task]), source)


def _lines(path: Path) -> TextIO:
    """Open a file of rows, plain or gzipped."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def read(paths: Iterable[Path]) -> Iterator[Row]:
    """Yield the rows of jsonl or jsonl.gz files; a row without source is named after its file.

    Raises OSError if a file cannot be read and ValueError, with file and line, if a row cannot.
    """
    for path in paths:
        source = path.name.removesuffix(".gz").removesuffix(".jsonl")
        with _lines(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield from parse(line, source)
                except (ValueError, KeyError) as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error
