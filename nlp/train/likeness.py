"""What the full base encoder makes of a sample of texts, for the small one to learn likeness from.

python -m nlp.train.likeness --data ../shared/data/nlp --base .cache/base --out .cache/likeness.npz
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from nlp.normalize import clean
from nlp.rows import read
from nlp.train.corpus import written
from nlp.train.grammar import messages

_PREFIX = "query: "  # as multilingual-e5 was trained


def sample(data: Path, count: int, seed: int) -> list[str]:
    """Return about `count` clean texts: half of them ours, half from the data sets; shortest first."""
    rng = random.Random(seed)
    ours = [one.text for one in written()]
    made = [one.text for one in messages(30_000, seed)]
    foreign = [row.text for path in sorted(data.glob("*.train.jsonl.gz")) for row in read([path]) if row.lang != "hi"]
    ours += rng.sample(made, min(len(made), max(0, count // 2 - len(ours))))
    chosen = ours + rng.sample(foreign, min(len(foreign), count // 2))
    return sorted({clean(text) for text in chosen} - {""}, key=lambda text: (len(text), text))


def main(words: Sequence[str] | None = None) -> None:
    """Write an npz of "texts" and "vectors" (texts, hidden), float16 of length 1."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.likeness", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--base", type=Path, default=Path(".cache/base"))
    parser.add_argument("--count", type=int, default=14_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(".cache/likeness.npz"))
    given = parser.parse_args(words)
    encoder = AutoModel.from_pretrained(given.base, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    texts = sample(given.data, given.count, given.seed)
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            batch = [_PREFIX + text for text in texts[start : start + 64]]
            fed = tokenizer(batch, padding=True, truncation=True, max_length=64, return_tensors="pt")
            kept = fed["attention_mask"].unsqueeze(-1).float()
            states = encoder(**fed).last_hidden_state
            mean = (states * kept).sum(1) / kept.sum(1)
            vectors.append(functional.normalize(mean, dim=1).numpy().astype(np.float16))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(given.out, texts=np.array(texts), vectors=np.concatenate(vectors))
    print(f"wrote {len(texts)} texts to {given.out}")


if __name__ == "__main__":
    main()
