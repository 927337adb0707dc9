"""Understanding: texts per second and macro-F1 on the UMSAB dev rows, ours beside other ways, all in one run.

`of bare` is the speed as a share of that of the faster of two bare ONNX Runtime loops over our encoder: what
understanding five fields costs on top of it. Nobody reads a text twice, so no cache answers. F1 is in %. `start s` and
`peak MB` are of a fresh process, from its command to its first answer; python -m bench.nlp NAME is one. A few minutes.
"""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nlp.evaluate import macro_f1
from nlp.normalize import clean
from nlp.pipeline import Pipeline
from nlp.rows import Row, read

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "nlp"
MODELS = Path(os.environ.get("SOCIALCRM_UNDERSTANDING__MODELS") or ROOT / "nlp" / "models")
RESTORED = ROOT / ".cache" / "restored"
LANGUAGES = ("en", "fr", "ar")
ROUNDS, ALONE = 5, 100
SENTIMENTS = ("negative", "neutral", "positive")

Read = Callable[[list[str]], Sequence[str] | None]
"""Texts -> their sentiments, or None from one that only goes through the motions."""


class AbsentError(Exception):
    """What this machine lacks to measure a system."""


@dataclass(frozen=True)
class System:
    """One way to understand texts; `prepare` is not timed, `learns_here` means that no start can be compared."""

    name: str
    open: Callable[[], Read]
    prepare: Callable[[str], str] = str
    langs: Sequence[str] = LANGUAGES
    learns_here: bool = False


def ours() -> Read:
    """The shipped pipeline: five fields."""
    pipeline = Pipeline.load(MODELS)
    return lambda texts: [one.sentiment.label for one in pipeline.analyze(texts) if one.sentiment]


def ngrams_alone() -> Read:
    """The shipped n-gram models: what `understanding.encoder = false` gives."""
    pipeline = Pipeline.load(MODELS, encoder=False)
    return lambda texts: [one.sentiment.label for one in pipeline.analyze(texts) if one.sentiment]


def encoder_alone() -> Read:
    """The shipped encoder and its head for sentiment, without n-grams."""
    pipeline = Pipeline.load(MODELS)
    if pipeline.encoder is None or pipeline.heads is None:
        raise AbsentError(f"no encoder in {MODELS}")
    encoder, head = pipeline.encoder, pipeline.heads.heads["sentiment"]

    def answer(texts: list[str]) -> list[str]:
        return [head.labels[best] for best in (encoder.states(texts) @ head.weights + head.bias).argmax(axis=1)]

    return answer


def bare(*, like_ours: bool) -> Read:
    """ONNX Runtime over the same file in the same batches, with its defaults or with the options that we give it."""
    import numpy as np

    if not (MODELS / "encoder.onnx").is_file():
        raise AbsentError(f"no encoder in {MODELS}")
    import onnxruntime
    from tokenizers import Tokenizer

    from nlp.onnx import MAX_TOKENS, runs

    options = onnxruntime.SessionOptions()
    if like_ours:
        options.intra_op_num_threads = min(len(os.sched_getaffinity(0)), 4)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(MODELS / "encoder.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(MODELS / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    def answer(texts: list[str]) -> None:
        ids = [encoded.ids for encoded in tokenizer.encode_batch(texts)]
        for batch in runs([len(one) for one in ids]):
            lengths = np.array([len(ids[place]) for place in batch], np.int32)
            table = np.ones((len(batch), lengths.max()), np.int32)
            for row, place in enumerate(batch):
                table[row, : lengths[row]] = ids[place]
            session.run(None, {"ids": table, "lengths": lengths})

    return answer


def transformers_pipeline() -> Read:
    """transformers.pipeline over the shipped encoder and head, in torch and float32."""
    weights = RESTORED / "heads.pt"
    if not weights.is_file() or weights.stat().st_mtime < (MODELS / "encoder.onnx").stat().st_mtime:
        raise AbsentError("the model in torch: python -m nlp.train.restore makes it")
    try:
        import torch
    except ImportError as error:
        raise AbsentError("torch: pip install 'socialcrm[bench]'") from error
    from transformers import BertForSequenceClassification, pipeline
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    from nlp.train.base import MAX_TOKENS
    from nlp.train.encoder import load

    model, tokenizer = load(RESTORED)

    class Pooled(torch.nn.Module):
        """Our encoder with its mean over tokens, where the pipeline's model expects BERT and its own pooling."""

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
            mean = model.pooled(input_ids, attention_mask)
            return BaseModelOutputWithPooling(last_hidden_state=mean, pooler_output=mean)

    classifier = BertForSequenceClassification(model.encoder.config)
    classifier.bert, classifier.classifier = Pooled(), model.heads["sentiment"]
    classifier.config.id2label = dict(enumerate(SENTIMENTS))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    classify = pipeline("text-classification", model=classifier.eval(), tokenizer=tokenizer, device="cpu")
    return lambda texts: [
        found["label"] for found in classify(texts, batch_size=32, truncation=True, max_length=MAX_TOKENS)
    ]


def vader() -> Read:
    """Hutto and Gilbert's rules and word list; its own thresholds."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise AbsentError("vaderSentiment: pip install 'socialcrm[bench]'") from error
    analyzer = SentimentIntensityAnalyzer()

    def label(text: str) -> str:
        score = analyzer.polarity_scores(text)["compound"]
        return "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"

    return lambda texts: [label(text) for text in texts]


def tf_idf() -> Read:
    """Words and word pairs, TF-IDF, logistic regression, learned from the rows that our sentiment is learned from."""
    if not DATA.is_dir():
        raise AbsentError(f"no {DATA} to learn from")
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError as error:
        raise AbsentError("scikit-learn: pip install 'socialcrm[bench]'") from error
    from nlp.train.examples import learned_from  # here, because it brings scipy into every process that is measured

    rows = [*read([DATA / "sentiment.train.jsonl.gz"])]
    rows += [row for row in read([DATA / "sentiment.dev.jsonl.gz"]) if learned_from(row)]
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(max_iter=300),
    )
    model.fit([row.text for row in rows], [row.label for row in rows])
    return lambda texts: list(model.predict(texts))


BARE = (
    System("bare onnxruntime: tokenizer and session.run", partial(bare, like_ours=False), clean),
    System("bare onnxruntime, our session options", partial(bare, like_ours=True), clean),
)
SYSTEMS = (
    *BARE,
    System("ours: five fields", ours),
    System("ours, n-grams without encoder: five fields", ngrams_alone),
    System("ours, encoder without n-grams: one field", encoder_alone),
    System("transformers.pipeline, our model in torch: one field", transformers_pipeline, clean),
    System("TF-IDF, logistic regression: one field", tf_idf, learns_here=True),
    System("vaderSentiment: one field", vader, langs=("en",)),
)


def rows_to_read() -> list[Row]:
    """The UMSAB dev rows of our languages; without the data folder the demo's messages, which have no labels."""
    if DATA.is_dir():
        found = read([DATA / "sentiment.dev.jsonl.gz"])
        return [row for row in found if row.source == "umsab" and row.lang in LANGUAGES]
    print(f"{DATA} is absent: speed on the demo's messages, and no F1.", file=sys.stderr)
    demo = (ROOT / "config" / "demo" / "stream.jsonl").read_text(encoding="utf-8").splitlines()
    texts = itertools.islice(itertools.cycle(json.loads(row)["text"] for row in demo), 1000)
    return [Row(f"{text} {n}", "", "", "", "demo") for n, text in enumerate(texts)]


def texts_for(system: System, rows: Sequence[Row]) -> list[str]:
    """The texts in the languages of a system, as it takes them."""
    return [system.prepare(row.text) for row in rows if row.lang in system.langs or not row.lang]


def alone(answer: Read, texts: list[str]) -> float:
    """The median time of one text alone, in ms."""
    taken = []
    for text in texts:
        begin = time.perf_counter()
        answer([text])
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.median(taken)


async def fresh(system: System) -> dict[str, Any]:
    """Seconds from the command to the first answer, and peak memory, of a process that does nothing else."""
    if system.learns_here:
        return {"start s": "-", "peak MB": "-"}
    begin = time.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.nlp", system.name, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    told, _ = await process.communicate()
    answered = json.loads(told.splitlines()[-1])
    return {"start s": round(answered["at"] - begin, 1), "peak MB": answered["peak MB"]}


async def measure() -> list[dict[str, Any]]:
    """One row a system; the rounds take turns, so that a noisy moment meets all of them."""
    rows = rows_to_read()
    opened: dict[str, Read] = {}
    absent: dict[str, str] = {}
    for system in SYSTEMS:
        try:
            opened[system.name] = system.open()
            opened[system.name]([system.prepare("merci beaucoup"), system.prepare("la connexion est morte")])
        except AbsentError as error:
            absent[system.name] = str(error)
    present = [system for system in SYSTEMS if system.name in opened]
    speeds: dict[str, list[float]] = {system.name: [] for system in present}
    said: dict[str, list[str]] = {system.name: [] for system in present}
    parts = [rows[turn::ROUNDS] for turn in range(ROUNDS)]
    for part in parts:
        for system in present:
            texts = texts_for(system, part)
            begin = time.perf_counter()
            answers = opened[system.name](texts)
            speeds[system.name].append(len(texts) / (time.perf_counter() - begin))
            said[system.name].extend(answers or ())
    loops = [speeds[system.name] for system in BARE if system.name in speeds]
    best = [max(turn) for turn in zip(*loops, strict=True)]
    table = []
    for system in SYSTEMS:
        if system.name in absent:
            table.append(line(f"{system.name}; not measured: {absent[system.name]}"))
            continue
        singles = [f"{text} alone" for text in texts_for(system, rows)[:ALONE]]
        shares = [speed / loop for speed, loop in zip(speeds[system.name], best, strict=False)]
        figures = {
            "texts/s": round(statistics.median(speeds[system.name])),
            "of bare": round(statistics.median(shares), 2) if shares else "-",
            **f1(list(itertools.chain(*parts)), system, said[system.name]),
            "1 text ms": round(alone(opened[system.name], singles), 2),
            **await fresh(system),
        }
        table.append(line(system.name, **figures))
    return table


def f1(rows: Sequence[Row], system: System, said: Sequence[str]) -> dict[str, Any]:
    """Macro-F1 over negative, neutral and positive in %, by language; nothing where there is none to compare."""
    judged = [row for row in rows if row.lang in system.langs]
    if not judged or not said:
        return {}
    found = {}
    for lang in system.langs:
        pairs = [(row.label, label) for row, label in zip(judged, said, strict=True) if row.lang == lang]
        found[f"F1 {lang}"] = round(100 * macro_f1([a for a, _ in pairs], [b for _, b in pairs]), 1)
    return found


def line(name: str, **figures: Any) -> dict[str, Any]:
    """A row of the table, with a dash for every figure that is not there."""
    columns = ("texts/s", "of bare", *(f"F1 {lang}" for lang in LANGUAGES), "1 text ms", "start s", "peak MB")
    return {"system": name, **{column: figures.get(column, "-") for column in columns}}


def main(name: str) -> None:
    """Answer once as a fresh process, and say when, and what memory it took at most."""
    system = next(system for system in SYSTEMS if system.name == name)
    system.open()([system.prepare("merci beaucoup")])
    at = time.time()
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"at": at, "peak MB": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
