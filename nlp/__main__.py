"""Analyses and evaluates from the command line: python -m nlp analyze | evaluate FILE..."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from nlp.evaluate import evaluate, show
from nlp.pipeline import FIELDS, Document, Pipeline
from nlp.rows import read

_BATCH = 512


def text_of(line: bytes) -> str:
    """Return the text of an input line, of which the line end is no part.

    A line that is a JSON object with a string "text" gives that string, any other line gives itself.
    Bytes that are not UTF-8 become U+FFFD.
    """
    text = line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if text.lstrip().startswith("{"):
        try:
            stored = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(stored, dict) and isinstance(stored.get("text"), str):
            return str(stored["text"])
    return text


def as_json(document: Document) -> str:
    """Return one line of JSON with label, score, scores and model of every field."""
    fields = ((field, getattr(document, field)) for field in FIELDS)
    return json.dumps({field: asdict(found) if found else None for field, found in fields}, ensure_ascii=False)


def analyze(pipeline: Pipeline, lines: BinaryIO, out: BinaryIO) -> None:
    """Write one line for every line read, in the same order, batch by batch."""
    texts: Iterator[str] = map(text_of, lines)
    while batch := list(islice(texts, _BATCH)):
        answers = [as_json(document) for document in pipeline.analyze(batch)]
        out.write(("\n".join(answers) + "\n").encode("utf-8"))
        out.flush()


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m nlp", description=__doc__)
    parser.add_argument("--models", type=Path, help="folder with weights (default: the shipped ones)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("analyze", help="read texts or JSONL from stdin, write one JSON object a line")
    judged = commands.add_parser("evaluate", help="accuracy and macro-F1 by task, source and language")
    judged.add_argument("files", nargs="+", type=Path, metavar="FILE", help="jsonl or jsonl.gz with labels")
    judged.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after a message if a file cannot be used."""
    given = _parser().parse_args(words)
    try:
        if given.command == "analyze":
            analyze(Pipeline.load(given.models), sys.stdin.buffer, sys.stdout.buffer)
            return 0
        rows = list(read(given.files))  # before the model: a file that cannot be used is said at once
        table = evaluate(Pipeline.load(given.models), rows)
    except BrokenPipeError:
        return 0
    except (OSError, ValueError, EOFError) as error:
        print(f"nlp: {error}", file=sys.stderr)
        return 1
    print("\n".join(json.dumps(asdict(line)) for line in table) if given.json else show(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
