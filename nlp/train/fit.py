"""From data sets to weights files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from nlp.evaluate import accuracy, macro_f1
from nlp.features import Ngrams, ngrams
from nlp.linear import LinearComponent, gather
from nlp.normalize import normalize
from nlp.pipeline import Field
from nlp.rows import Row, read
from nlp.train.examples import LABELS, Example, examples, learned_from, targets
from nlp.train.grammar import Message, messages
from nlp.train.softmax import fit, matrix, temperature

BUCKETS: dict[Field, int] = {"language": 2**17, "sentiment": 2**19, "complaint": 2**18, "intent": 2**18}
PENALTY: dict[Field, float] = {"language": 0.15, "sentiment": 0.8, "complaint": 0.2, "intent": 0.1}
"""L2 strength, chosen on the held-out rows."""

_CLEAR = 0.3  # least weight of an example that the temperature is fitted on: weak signs would mislead it


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the weights: two runs of one recipe write the same numbers."""

    data: Path
    sources: tuple[str, ...]
    tasks: tuple[Field, ...]
    held_out: Path
    made: int
    steps: int
    limit: int
    seed: int


def _rows(recipe: Recipe, split: str, forbidden: set[str]) -> list[Row]:
    """Read the rows of a split, without other sources and without texts that are kept for judging."""
    chosen: list[Row] = []
    for path in sorted(recipe.data.glob(f"*.{split}.jsonl.gz")):
        rows = (row for row in read([path]) if not recipe.sources or row.source.split("/")[0] in recipe.sources)
        chosen.extend(islice(rows, recipe.limit or None))
    return [row for row in chosen if normalize(row.text) not in forbidden]


def _made(recipe: Recipe, forbidden: set[str]) -> list[Message]:
    """Make the messages of the recipe."""
    if recipe.sources and "made" not in recipe.sources:
        return []
    return [one for one in messages(recipe.made, recipe.seed) if normalize(one.text) not in forbidden]


def _hashed(chosen: Sequence[Example]) -> Ngrams:
    """Hash the texts of examples, a few at a time because hashing takes memory."""
    parts = [
        ngrams([normalize(one.text) for one in chosen[start : start + 512]]) for start in range(0, len(chosen), 512)
    ]
    return Ngrams(np.concatenate([part.hashes for part in parts]), np.concatenate([part.counts for part in parts]))


def _judge(field: Field, component: LinearComponent, held: Sequence[Example]) -> Iterator[str]:
    """Yield a line of figures for each source and language of the held-out examples with one clear label."""
    groups: dict[tuple[str, str], list[Example]] = {}
    for one in held:
        if len(one.wanted) == 1:
            groups.setdefault((one.source.split("/")[0], one.lang), []).append(one)
    for (source, lang), members in sorted(groups.items()):
        rows = component.probabilities([one.text for one in members])
        allowed = targets(field, members).allowed
        guesses = [component.labels[best] for best in np.where(allowed, rows, -1).argmax(axis=1)]
        truth = [one.wanted[0] for one in members]
        yield (
            f"{field:<10} {source:<20} {lang:<9} {len(truth):>6} rows, accuracy "
            f"{accuracy(truth, guesses):.3f}, macro-F1 {macro_f1(truth, guesses):.3f}"
        )


def train(recipe: Recipe, out: Path) -> Iterator[str]:
    """Train every task, write <out>/<task>.npz, and yield lines that say how it went.

    A message from a held-out template, a row of a dev file and a fixed part of the sets without one are
    not learned from; the temperature is fitted on them. Raises ValueError if there is nothing to learn.
    """
    forbidden = {normalize(row.text) for row in read(sorted(recipe.held_out.glob("*.jsonl")))}
    rows, made = _rows(recipe, "train", forbidden), _made(recipe, forbidden)
    dev_rows = _rows(recipe, "dev", forbidden)
    rows += [row for row in dev_rows if learned_from(row)]
    dev_rows = [row for row in dev_rows if not learned_from(row)]
    yield f"{len(rows)} rows, {len(dev_rows)} dev rows, {len(made)} made messages"
    out.mkdir(parents=True, exist_ok=True)
    for field in recipe.tasks:
        everything = examples(field, rows, made, recipe.seed)
        learned = [one for one in everything if not one.held_out]
        held = [one for one in everything if one.held_out] + examples(field, dev_rows, [], recipe.seed)
        if not learned or not any(one.weight >= _CLEAR for one in held):
            raise ValueError(f"these sources have nothing to learn {field} from")
        weights, bias = fit(
            matrix(_hashed(learned), BUCKETS[field]), targets(field, learned), PENALTY[field], recipe.steps
        )
        clear = [one for one in held if one.weight >= _CLEAR]
        logits = (gather(_hashed(clear), weights) + bias).astype(np.float64)
        divisor = temperature(logits, targets(field, clear))
        component = LinearComponent(field, LABELS[field], weights, bias, divisor)
        component.save(out / f"{field}.npz")
        shipped = LinearComponent.load(out / f"{field}.npz", field)
        yield f"{field}: {len(learned)} examples, temperature {shipped.temperature:.2f}"
        yield from _judge(field, shipped, held)
