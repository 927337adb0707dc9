"""Averages the weights of fine-tuning runs that began from one model: often better than each, at no cost in use.

python -m nlp.train.average .cache/first .cache/second --out .cache/encoder

After "Model soups" (Wortsman et al., 2022).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from nlp.train.encoder import load, save


def main(words: Sequence[str] | None = None) -> None:
    """Read folders that nlp.train.encoder wrote, all of one vocabulary, and write their mean."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.average", description="Average fine-tuned models.")
    parser.add_argument("runs", type=Path, nargs="+", help="folders that nlp.train.encoder wrote")
    parser.add_argument("--out", type=Path, default=Path(".cache/encoder"))
    given = parser.parse_args(words)
    model, tokenizer = load(given.runs[0])
    states = [load(run)[0].state_dict() for run in given.runs]
    model.load_state_dict({name: torch.stack([one[name] for one in states]).mean(0) for name in states[0]})
    save(model, tokenizer, given.out)
    print(f"wrote the mean of {len(given.runs)} runs to {given.out}")


if __name__ == "__main__":
    main()
