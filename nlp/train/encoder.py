"""Fine-tunes the encoder with one head a field, on a CPU or a GPU.

python -m nlp.train.encoder --data ../shared/data/nlp --base .cache/base --out .cache/encoder
"""

import argparse
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from nlp.evaluate import accuracy, macro_f1
from nlp.normalize import clean
from nlp.pipeline import FIELDS, Field
from nlp.train.base import MAX_TOKENS
from nlp.train.examples import LABELS, Example, targets
from nlp.train.sets import Split, split

LAYERS = 8
_HEAD_WEIGHT: dict[Field, float] = {"language": 0.3, "sentiment": 1.0, "complaint": 0.8, "intent": 0.7, "reason": 0.5}
_LIKENESS_WEIGHT = 2.0
_DROPOUT = 0.1
_TOKENS_A_BATCH = 2_000
_POOL = 40  # batches whose texts are sorted by length together
_LONGEST = 80  # tokens that training reads of a text
_COPIES = {
    "written": 4,
    "complaints_acl2019": 3,
    "narabizi": 3,
    "tweeteval": 2,
    "twifil": 2,
    "umsab/ar": 2,
    "umsab/en": 2,
    "umsab/fr": 2,
}
"""How often an epoch reads the rows of small sources that teach what nothing else does."""


class Model(nn.Module):
    """The first layers of an encoder, mean pooling, a linear head a field, and a projection for likeness."""

    def __init__(self, encoder: nn.Module, hidden: int) -> None:
        """Put heads on an encoder of `hidden` units."""
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({field: nn.Linear(hidden, len(LABELS[field])) for field in FIELDS})
        self.likeness = nn.Linear(hidden, hidden)

    def pooled(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (texts, hidden): the mean of the last states over the tokens of each text."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask.unsqueeze(-1).to(states.dtype)
        mean: torch.Tensor = (states * kept).sum(1) / kept.sum(1)
        return mean


def load_base(folder: Path, layers: int = LAYERS) -> tuple[Model, PreTrainedTokenizerBase]:
    """Read the base folder, keep the first `layers` layers, and put fresh heads on them."""
    encoder = AutoModel.from_pretrained(
        folder, add_pooling_layer=False, hidden_dropout_prob=_DROPOUT, attention_probs_dropout_prob=0.0
    )
    encoder.encoder.layer = encoder.encoder.layer[:layers]
    encoder.config.num_hidden_layers = layers
    return Model(encoder, encoder.config.hidden_size), AutoTokenizer.from_pretrained(folder)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Texts with what is known of each: per field (texts, labels) masks and (texts,) weights, 0 = nothing.

    `likeness` (texts, hidden) holds what the full base encoder makes of a text, zeros where it was not asked.
    `copies` (texts,) is how often an epoch reads a text.
    """

    texts: list[str]
    langs: list[str]
    allowed: dict[Field, torch.Tensor]
    wanted: dict[Field, torch.Tensor]
    weights: dict[Field, torch.Tensor]
    likeness: torch.Tensor
    copies: NDArray[np.int64]


def sheet(chosen: dict[Field, list[Example]], likeness: dict[str, NDArray[np.float16]], hidden: int) -> Sheet:
    """Merge the examples of all fields by text, so that a text is read once for all that it teaches.

    Texts that teach the language alone (crops) and Hindi are left to the n-grams, which need no encoder for them.
    """
    places: dict[str, int] = {}
    langs: list[str] = []
    copies: list[int] = []
    for field in FIELDS[1:]:
        for one in chosen[field]:
            if one.text not in places and one.lang != "hi":
                places[one.text] = len(places)
                langs.append(one.lang)
                source = one.source.split("/")[0]
                copies.append(_COPIES.get(source, _COPIES.get(f"{source}/{one.lang}", 1)))
    chosen = {field: [one for one in chosen[field] if one.text in places] for field in FIELDS}
    count = len(places)
    allowed, wanted, weights = {}, {}, {}
    for field in FIELDS:
        width = len(LABELS[field])
        known = targets(field, chosen[field])
        rows = [places[one.text] for one in chosen[field]]
        allowed[field], wanted[field] = np.ones((count, width), bool), np.ones((count, width), bool)
        weights[field] = np.zeros(count, np.float32)
        allowed[field][rows], wanted[field][rows], weights[field][rows] = known.allowed, known.wanted, known.weights
    vectors = np.zeros((count, hidden), np.float32)
    for text, place in places.items():
        if (vector := likeness.get(clean(text))) is not None:
            vectors[place] = vector
    return Sheet(
        list(places),
        langs,
        {field: torch.from_numpy(values) for field, values in allowed.items()},
        {field: torch.from_numpy(values) for field, values in wanted.items()},
        {field: torch.from_numpy(values) for field, values in weights.items()},
        torch.from_numpy(vectors),
        np.array(copies),
    )


_ACCENTS = str.maketrans("éèêëàâîïôöûùüç", "eeeeaaiioouuuc")
_HAMZAS = str.maketrans("أإآةىؤئ", "اااهيوي")
_ARABIZI = (("3", "a"), ("7", "h"), ("9", "q"), ("9", "k"), ("ch", "sh"), ("ou", "o"), ("kh", "5"), ("h", "7"))
_SYMBOLS = re.compile(r"[^\w\s]+")


def roughened(text: str, lang: str, rng: random.Random) -> str:
    """Spell a clean text as others would type it; most texts stay as they are."""
    if rng.random() < 0.15:
        text = text.translate(_ACCENTS)
    if rng.random() < 0.2:
        text = text.translate(_HAMZAS)
    if lang.endswith("Latn") and rng.random() < 0.35:
        text = text.replace(*rng.choice(_ARABIZI))
    if rng.random() < 0.08:
        text = " ".join(_SYMBOLS.sub(" ", text).split())
    if rng.random() < 0.08 and len(text) > 8:
        place = rng.randrange(len(text))
        text = text[:place] + text[place + 1 :]
    return text


def batches(lengths: Sequence[int], rng: random.Random) -> Iterator[list[int]]:
    """Yield shuffled batches of places; texts of one batch have about one length."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    pool = _POOL * 64
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda place: lengths[place])
        cut: list[list[int]] = [[]]
        for place in near:
            if (cut[-1] and (len(cut[-1]) + 1) * lengths[place] > _TOKENS_A_BATCH) or len(cut[-1]) == 96:
                cut.append([])
            cut[-1].append(place)
        rng.shuffle(cut)
        yield from cut


def padded(ids: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (texts, tokens) ids and mask."""
    longest = max(map(len, ids))
    table = torch.full((len(ids), longest), pad)
    for row, tokens in enumerate(ids):
        table[row, : len(tokens)] = torch.tensor(tokens)
    return table, (table != pad).long()


def head_loss(logits: torch.Tensor, data: Sheet, field: Field, batch: NDArray[np.int64]) -> torch.Tensor:
    """Return the sum of -log P(wanted | allowed), weighted, over a batch."""
    allowed, wanted = data.allowed[field][batch].to(logits.device), data.wanted[field][batch].to(logits.device)
    everything = logits.masked_fill(~allowed, -1e4).logsumexp(1)
    hoped = logits.masked_fill(~wanted, -1e4).logsumexp(1)
    return ((everything - hoped) * data.weights[field][batch].to(logits.device)).sum()


def outputs(
    model: Model, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], device: str = "cpu"
) -> dict[str, NDArray[np.float32]]:
    """Return the logits of every field and the pooled states ("pooled"), (texts, …) each, in the order of texts."""
    model.eval()
    ids = tokenizer([clean(text) for text in texts], truncation=True, max_length=MAX_TOKENS)["input_ids"]
    order = sorted(range(len(texts)), key=lambda place: len(ids[place]))
    found: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            table, mask = padded([ids[place] for place in order[start : start + 64]], tokenizer.pad_token_id)
            pooled = model.pooled(table.to(device), mask.to(device))
            found.setdefault("pooled", []).append(pooled)
            for field in FIELDS:
                found.setdefault(field, []).append(model.heads[field](pooled))
    back = np.argsort(order)
    model.train()
    return {name: torch.cat(parts).float().cpu().numpy()[back] for name, parts in found.items()}


def judge(
    model: Model, tokenizer: PreTrainedTokenizerBase, held: dict[Field, list[Example]], device: str, most: int
) -> Iterator[str]:
    """Yield figures for each field, source and language of examples with one clear label, at most `most` rows each."""
    for field in FIELDS[1:]:
        groups: dict[tuple[str, str], list[Example]] = {}
        for one in held[field]:
            if len(one.wanted) == 1 and one.weight >= 0.3:
                groups.setdefault((one.source.split("/")[0], one.lang), []).append(one)
        for (source, lang), members in sorted(groups.items()):
            if len(members) < 30 or lang in ("de", "es", "it", "pt", "hi"):
                continue
            logits = outputs(model, tokenizer, [one.text for one in members[:most]], device)[field]
            logits = np.where(targets(field, members[:most]).allowed, logits, -np.inf)
            guesses = [LABELS[field][best] for best in logits.argmax(axis=1)]
            truth = [one.wanted[0] for one in members[:most]]
            yield (
                f"  {field:<10} {source:<20} {lang:<9} {len(truth):>5} rows, accuracy "
                f"{accuracy(truth, guesses):.3f}, macro-F1 {macro_f1(truth, guesses):.3f}"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard to train."""

    epochs: float
    rate: float
    seed: int
    minutes: float
    device: str


def _rate(done: float) -> float:
    """Return the share of the full learning rate after a share of the training: warm-up, then a straight decay."""
    return done / 0.05 if done < 0.05 else (1 - done) / 0.95


def train(
    model: Model, tokenizer: PreTrainedTokenizerBase, chosen: Split, data: Sheet, plan: Plan, out: Path
) -> Iterator[str]:
    """Fine-tune everything; save to `out` after each epoch; yield lines that say how it goes.

    Stops after plan.epochs or, on a slow machine, plan.minutes, whichever is nearer: the learning rate falls to
    nothing by then.
    """
    rng = random.Random(plan.seed)
    torch.manual_seed(plan.seed)
    model.to(plan.device).train()
    heads = [*model.heads.parameters(), *model.likeness.parameters()]
    groups = [{"params": list(model.encoder.parameters()), "lr": plan.rate}, {"params": heads, "lr": 10 * plan.rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    begun, seen, step, running = time.monotonic(), 0, 0, 0.0
    total = plan.epochs * data.copies.sum()
    order = np.repeat(np.arange(len(data.texts)), data.copies)
    plain = [clean(text) for text in data.texts]
    while True:
        texts = [roughened(plain[place], data.langs[place], rng) for place in order]
        ids = tokenizer(texts, truncation=True, max_length=_LONGEST)["input_ids"]
        for places in batches(list(map(len, ids)), rng):
            batch = order[places]
            done = max(seen / total, (time.monotonic() - begun) / 60 / plan.minutes)
            if done >= 1:
                save(model, tokenizer, out)
                yield f"{seen} texts in {(time.monotonic() - begun) / 60:.0f} min"
                yield from judge(model, tokenizer, chosen.held, plan.device, 1000)
                return
            for group, full in zip(optimizer.param_groups, (plan.rate, 10 * plan.rate), strict=True):
                group["lr"] = full * _rate(done)
            table, mask = padded([ids[place] for place in places], tokenizer.pad_token_id)
            pooled = model.pooled(table.to(plan.device), mask.to(plan.device))
            dropped = functional.dropout(pooled, 0.1)
            loss = pooled.new_zeros(())
            for field, weight in _HEAD_WEIGHT.items():
                loss = loss + weight * head_loss(model.heads[field](dropped), data, field, batch)
            wished = data.likeness[batch].to(plan.device)
            known = wished.abs().sum(1) > 0
            if known.any():
                near = functional.cosine_similarity(model.likeness(pooled[known]), wished[known], dim=1)
                loss = loss + _LIKENESS_WEIGHT * (1 - near).sum()
            loss = loss / 48
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen, step, running = seen + len(batch), step + 1, 0.98 * running + 0.02 * float(loss.detach())
            if step % 100 == 0:
                yield f"{seen:>7} texts, {(time.monotonic() - begun) / 60:.1f} min, loss {running:.3f}"
            if step % 800 == 0:
                save(model, tokenizer, out)
                yield from judge(model, tokenizer, chosen.held, plan.device, 150)


def save(model: Model, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write encoder, tokenizer, heads and label maps."""
    model.encoder.save_pretrained(out)
    tokenizer.save_pretrained(out)
    torch.save(
        {name: part.state_dict() for name, part in (("heads", model.heads), ("likeness", model.likeness))},
        out / "heads.pt",
    )
    (out / "labels.json").write_text(json.dumps(LABELS, indent=1), encoding="utf-8")


def load(folder: Path) -> tuple[Model, PreTrainedTokenizerBase]:
    """Read what `save` wrote."""
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, hidden_dropout_prob=_DROPOUT)
    model = Model(encoder, encoder.config.hidden_size)
    stored = torch.load(folder / "heads.pt", weights_only=True)
    model.heads.load_state_dict(stored["heads"])
    model.likeness.load_state_dict(stored["likeness"])
    return model, AutoTokenizer.from_pretrained(folder)


def main(words: Sequence[str] | None = None) -> None:
    """Fine-tune and save."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.encoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--base", type=Path, default=Path(".cache/base"), help="folder that nlp.train.base wrote")
    parser.add_argument("--likeness", type=Path, help="npz of texts and vectors that nlp.train.likeness wrote")
    parser.add_argument("--held-out", type=Path, default=Path("tests/nlp/labelled"))
    parser.add_argument("--sources", nargs="*", default=[], help="only these sources (default: all)")
    parser.add_argument("--start", type=Path, help="go on with what an earlier run wrote, or with a shipped model")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop by then, however far")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--made", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path(".cache/encoder"))
    given = parser.parse_args(words)
    if given.start and (given.start / "encoder.onnx").exists():
        from nlp.train.restore import restore

        model, tokenizer = restore(given.start, given.base), AutoTokenizer.from_pretrained(given.start)
    else:
        model, tokenizer = load(given.start) if given.start else load_base(given.base, given.layers)
    chosen = split(given.data, given.sources, given.held_out, given.made, given.seed)
    likeness: dict[str, NDArray[np.float16]] = {}
    if given.likeness and given.likeness.is_file():  # else that stage was left out
        with np.load(given.likeness) as stored:
            likeness = dict(zip(stored["texts"].tolist(), stored["vectors"], strict=True))
    data = sheet(chosen.learned, likeness, model.encoder.config.hidden_size)
    counts = {field: int((data.weights[field] > 0).sum()) for field in FIELDS}
    print(f"{len(data.texts)} texts, {counts}, {int((data.likeness.abs().sum(1) > 0).sum())} with likeness", flush=True)
    plan = Plan(given.epochs, given.rate, given.seed, given.minutes, given.device)
    for line in train(model, tokenizer, chosen, data, plan, given.out):
        print(line, flush=True)


if __name__ == "__main__":
    main()
