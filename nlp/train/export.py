"""Writes the fine-tuned encoder as an ONNX file of 8-bit weights.

python -m nlp.train.export --encoder .cache/encoder --data ../shared/data/nlp --out nlp/models

The graph is written node by node instead of traced: that gives ONNX Runtime's fused operators at once, needs no
exporter, and lets every matrix be scaled before it is rounded. Activations are quantised per tensor at run time, so
a few loud channels would cost the quiet ones their precision: as in SmoothQuant (Xiao et al., 2023) each input
channel is divided by a factor found on real texts, and the weights multiplied by it.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from transformers import PreTrainedTokenizerBase

from nlp.normalize import clean
from nlp.train.base import MAX_TOKENS
from nlp.train.corpus import all_texts
from nlp.train.encoder import Model, load, padded

_OPSET = 21
_SMOOTHING = 0.8
_MICROSOFT = "com.microsoft"


class Graph:
    """An ONNX graph that grows by one node a call."""

    def __init__(self, quantize: bool) -> None:
        """Begin an empty graph; without `quantize` its matrices stay float32, to compare with."""
        self.quantize = quantize
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def tensor(self, values: NDArray[np.generic]) -> str:
        """Store a constant; return its name."""
        name = f"t{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: object) -> str:
        """Add a node; return the name of its first output (the others have the same name and /1, /2)."""
        name = f"n{len(self.nodes)}"
        names = [name] + [f"{name}/{place}" for place in range(1, outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return name

    def dense(
        self, given: str, weight: NDArray[np.float32], bias: NDArray[np.float32], factor: NDArray[np.float32] | None
    ) -> str:
        """Multiply by a (rows, columns) matrix, in 8 bits after smoothing by `factor` (rows,), a scale a column; add a
        bias (columns,)."""
        if not self.quantize:
            return self.add("Add", self.add("MatMul", given, self.tensor(weight)), self.tensor(bias))
        if factor is not None:
            given = self.add("Mul", given, self.tensor((1 / factor).astype(np.float32)))
            weight = weight * factor[:, None]
        scale = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
        small = np.round(weight / scale).astype(np.int8)
        zero = np.zeros(len(scale), dtype=np.int8)
        parts = (self.tensor(small), self.tensor(scale), self.tensor(zero), self.tensor(bias))
        return self.add("DynamicQuantizeMatMul", given, *parts, domain=_MICROSOFT)


def _array(parameter: torch.Tensor) -> NDArray[np.float32]:
    """Return a parameter as float32 array."""
    result: NDArray[np.float32] = parameter.detach().cpu().float().numpy()
    return result


class _Loudest:
    """Remembers the largest absolute value of every input channel of some linear layers."""

    def __init__(self, layers: dict[str, nn.Linear]) -> None:
        self.found: dict[str, torch.Tensor] = {}
        self._hooks = [layer.register_forward_pre_hook(self._watch(name)) for name, layer in layers.items()]

    def _watch(self, name: str):  # type: ignore[no-untyped-def]
        def look(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            peak = given[0].detach().abs().flatten(0, -2).max(0).values
            self.found[name] = torch.maximum(self.found[name], peak) if name in self.found else peak

        return look

    def close(self) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()


def factors(
    model: Model, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[dict[str, NDArray[np.float32]]]:
    """Return for each layer the smoothing factor of the inputs of "qkv", "inner" and "output"."""
    layers = model.encoder.encoder.layer
    watched: dict[str, nn.Linear] = {}
    for place, layer in enumerate(layers):
        watched[f"{place}.qkv"] = layer.attention.self.query
        watched[f"{place}.inner"] = layer.intermediate.dense
        watched[f"{place}.output"] = layer.output.dense
    watch = _Loudest(watched)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            ids = tokenizer(list(texts[start : start + 32]), truncation=True, max_length=MAX_TOKENS)["input_ids"]
            # the texts of a batch one by one, so that padding is not measured
            for one in ids:
                model.pooled(*padded([one], tokenizer.pad_token_id))
    watch.close()
    result = []
    for place, layer in enumerate(layers):
        attention = layer.attention.self
        weights = {
            "qkv": torch.cat([attention.query.weight, attention.key.weight, attention.value.weight]),
            "inner": layer.intermediate.dense.weight,
            "output": layer.output.dense.weight,
        }
        loud = {name: _array(watch.found[f"{place}.{name}"]) for name in weights}
        strong = {name: np.abs(_array(weight)).max(axis=0) for name, weight in weights.items()}
        result.append(
            {
                name: np.maximum(loud[name], 1e-4) ** _SMOOTHING / np.maximum(strong[name], 1e-4) ** (1 - _SMOOTHING)
                for name in weights
            }
        )
    return result


def graph(model: Model, smoothing: list[dict[str, NDArray[np.float32]]], quantize: bool = True) -> onnx.ModelProto:
    """Return the model that turns "ids" (texts, tokens) and "lengths" (texts,) into "pooled" (texts, hidden)."""
    encoder = model.encoder
    epsilon, heads = encoder.config.layer_norm_eps, encoder.config.num_attention_heads
    built = Graph(quantize)
    words = _array(encoder.embeddings.word_embeddings.weight)
    if quantize:
        scale = np.maximum(np.abs(words).max(axis=1, keepdims=True), 1e-9) / 127
        small = built.add("Gather", built.tensor(np.round(words / scale).astype(np.int8)), "ids")
        state = built.add(
            "Mul",
            built.add("Cast", small, to=TensorProto.FLOAT),
            built.add("Gather", built.tensor(scale.astype(np.float32)), "ids"),
        )
    else:
        state = built.add("Gather", built.tensor(words), "ids")
    places = _array(encoder.embeddings.position_embeddings.weight)[:MAX_TOKENS]
    places = places + _array(encoder.embeddings.token_type_embeddings.weight)[0]
    tokens = built.add("Shape", "ids", start=1, end=2)
    begin, axis = built.tensor(np.array([0], np.int64)), built.tensor(np.array([0], np.int64))
    state = built.add("Add", state, built.add("Slice", built.tensor(places), begin, tokens, axis))
    norm = encoder.embeddings.LayerNorm
    state = built.add(
        "LayerNormalization", state, built.tensor(_array(norm.weight)), built.tensor(_array(norm.bias)), epsilon=epsilon
    )
    for layer, factor in zip(encoder.encoder.layer, smoothing, strict=True):
        attention, merged = layer.attention.self, layer.attention.output
        parts = (attention.query, attention.key, attention.value)
        weight = np.concatenate([_array(part.weight).T for part in parts], axis=1)
        qkv = built.dense(state, weight, np.concatenate([_array(part.bias) for part in parts]), factor["qkv"])
        query = built.add("Split", qkv, outputs=3, axis=-1, num_outputs=3)
        mixed = built.add(
            "MultiHeadAttention", query, f"{query}/1", f"{query}/2", "", "lengths", domain=_MICROSOFT, num_heads=heads
        )
        state = _merge(built, mixed, state, merged, None, epsilon)
        inner = layer.intermediate.dense
        wide = built.dense(state, _array(inner.weight).T, _array(inner.bias), factor["inner"])
        wide = built.add("Gelu", wide, domain=_MICROSOFT)
        state = _merge(built, wide, state, layer.output, factor["output"], epsilon)
    _pool(built, state, tokens)
    whole = helper.make_graph(
        built.nodes,
        "encoder",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT32, ["texts", "tokens"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["texts"]),
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["texts", encoder.config.hidden_size])],
        built.tensors,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=10, producer_name="socialcrm")


def _merge(
    built: Graph, given: str, state: str, block: nn.Module, factor: NDArray[np.float32] | None, epsilon: float
) -> str:
    """Put a block's dense layer on what it is given, add the state before it, and normalise.

    Not as SkipLayerNormalization: ONNX Runtime's (1.31) takes twice the time of the two operators on a CPU.
    """
    norm, dense = block.LayerNorm, block.dense
    changed = built.dense(given, _array(dense.weight).T, _array(dense.bias), factor)
    scale, shift = (built.tensor(_array(values)) for values in (norm.weight, norm.bias))
    return built.add("LayerNormalization", built.add("Add", changed, state), scale, shift, epsilon=epsilon)


def _pool(built: Graph, state: str, tokens: str) -> None:
    """Write the mean of the states of the tokens that are no padding to "pooled"."""
    zero, one, first = (built.tensor(np.array(values, np.int64)) for values in (0, 1, [1]))
    last = built.tensor(np.array([2], np.int64))
    count = built.add("Squeeze", tokens)
    places = built.add("Cast", built.add("Range", zero, count, one), to=TensorProto.INT32)
    lengths = built.add("Unsqueeze", "lengths", first)
    mask = built.add("Cast", built.add("Less", places, lengths), to=TensorProto.FLOAT)
    total = built.add("ReduceSum", built.add("Mul", state, built.add("Unsqueeze", mask, last)), first, keepdims=0)
    built.nodes.append(helper.make_node("Div", [total, built.add("Cast", lengths, to=TensorProto.FLOAT)], ["pooled"]))


def export(encoder: Path, data: Path, out: Path, quantize: bool = True) -> Path:
    """Write encoder.onnx and the tokenizer into `out`; return the path of the first."""
    model, tokenizer = load(encoder)
    texts = sorted(set(all_texts(data)))
    chosen = random.Random(7).sample(texts, min(600, len(texts)))
    written = graph(model, factors(model, tokenizer, [clean(text) for text in chosen]), quantize)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "encoder.onnx"
    onnx.save(written, path)
    tokenizer.save_pretrained(out)
    return path


def main(words: Sequence[str] | None = None) -> None:
    """Export."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.export", description="Write the encoder as ONNX.")
    parser.add_argument("--encoder", type=Path, default=Path(".cache/encoder"), help="folder of nlp.train.encoder")
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--float", action="store_true", help="keep 32-bit weights, to compare with")
    parser.add_argument("--out", type=Path, default=Path("nlp/models"))
    given = parser.parse_args(words)
    path = export(given.encoder, given.data, given.out, not given.float)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
