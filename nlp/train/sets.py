"""Which examples each field learns from and which are held out, the same for every kind of model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp.normalize import normalize
from nlp.pipeline import FIELDS, Field
from nlp.rows import Row, read
from nlp.train.corpus import written
from nlp.train.examples import Example, examples, learned_from
from nlp.train.grammar import Message, messages


@dataclass(frozen=True, slots=True)
class Split:
    """By field, the examples to learn from and those to judge by; no text is in both."""

    learned: dict[Field, list[Example]]
    held: dict[Field, list[Example]]


def _rows(data: Path, part: str, sources: Sequence[str], forbidden: set[str], limit: int) -> list[Row]:
    """Read the rows of train or dev, of the wanted sources, without texts that are kept for judging."""
    chosen: list[Row] = []
    for path in sorted(data.glob(f"*.{part}.jsonl.gz")):
        rows = [row for row in read([path]) if not sources or row.source.split("/")[0] in sources]
        chosen.extend(rows[: limit or None])
    return [row for row in chosen if normalize(row.text) not in forbidden]


def split(data: Path, sources: Sequence[str], held_out: Path, made: int, seed: int, limit: int = 0) -> Split:
    """Return the examples of all fields.

    `sources`: only these ("made" and "written" are ours; none = all). `held_out`: folder of jsonl rows whose texts
    are never learned from. `made`: how many messages our grammars make. `limit`: rows of each file, 0 = all.
    """
    forbidden = {normalize(row.text) for row in read(sorted(held_out.glob("*.jsonl")))}
    own: list[Message] = []
    if not sources or "made" in sources:
        own += messages(made, seed)
    if not sources or "written" in sources:
        own += written()
    own = [one for one in own if normalize(one.text) not in forbidden]
    dev = _rows(data, "dev", sources, forbidden, limit)
    rows = _rows(data, "train", sources, forbidden, limit) + [row for row in dev if learned_from(row)]
    dev = [row for row in dev if not learned_from(row)]
    learned: dict[Field, list[Example]] = {}
    held: dict[Field, list[Example]] = {}
    for field in FIELDS:
        everything = examples(field, rows, own, seed)
        held[field] = [one for one in everything if one.held_out] + examples(field, dev, [], seed)
        kept = {one.text for one in held[field]}
        learned[field] = [one for one in everything if not one.held_out and one.text not in kept]
    return Split(learned, held)
