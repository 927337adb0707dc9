"""Trains the linear models: python -m nlp.train --data ../shared/data/nlp --out nlp/models."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from nlp.pipeline import FIELDS
from nlp.train.fit import Recipe, train


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--sources", nargs="*", default=[], help="only these sources (default: all); 'made' = ours")
    parser.add_argument("--tasks", nargs="*", default=list(FIELDS), choices=FIELDS, help="only these tasks")
    parser.add_argument("--out", type=Path, default=Path("nlp/models"), help="where the weights go")
    parser.add_argument(
        "--held-out",
        type=Path,
        default=Path("tests/nlp/labelled"),
        help="folder of jsonl rows whose texts must not be learned from",
    )
    parser.add_argument("--made", type=int, default=30_000, help="messages to make from our grammars")
    parser.add_argument("--steps", type=int, default=60, help="most L-BFGS steps a task")
    parser.add_argument("--limit", type=int, default=0, help="rows of each file to read, 0 = all (for a trial)")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Train, write the weights, print and write (figures.txt) what was measured on rows held out."""
    given = _arguments(words)
    started = time.monotonic()
    recipe = Recipe(
        given.data,
        tuple(given.sources),
        tuple(given.tasks),
        given.held_out,
        given.made,
        given.steps,
        given.limit,
        given.seed,
    )
    told = []
    for line in train(recipe, given.out):
        told.append(line)
        print(line, flush=True)
    (given.out / "figures.txt").write_text("\n".join(told) + "\n", encoding="utf-8")
    print(f"done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
