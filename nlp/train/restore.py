"""Reads an exported 8-bit encoder back into floating point, so that fine-tuning can go on from a shipped model.

python -m nlp.train.restore --model nlp/models --base .cache/base --out .cache/restored

What rounding cost stays lost (docs/model.md says how little that is); everything else is as it was.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from transformers import AutoTokenizer

from nlp.heads import Heads
from nlp.pipeline import FIELDS
from nlp.train.encoder import Model, load_base, save

Floats = NDArray[np.float32]


class _Constants:
    """The constants of a graph that `nlp.train.export` wrote, in the order of its nodes."""

    def __init__(self, written: onnx.ModelProto) -> None:
        self._tensors = {one.name: numpy_helper.to_array(one) for one in written.graph.initializer}
        self._nodes = list(written.graph.node)
        self.layers = sum(node.op_type == "MultiHeadAttention" for node in self._nodes)

    def _of(self, operator: str) -> Iterator[list[NDArray[np.generic]]]:
        """Yield the constants of each node of one operator."""
        for node in self._nodes:
            if node.op_type == operator:
                yield [self._tensors[name] for name in node.input if name in self._tensors]

    def words(self) -> Floats:
        """Return the (tokens, hidden) embedding."""
        small, scale = (found[0].astype(np.float32) for found in list(self._of("Gather"))[:2])
        result: Floats = small * scale
        return result

    def layers_of_weights(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield (rows, columns) matrix and (columns,) bias, four a layer, with the smoothing of inputs taken back."""
        smoothed: dict[str, Floats] = {}
        for node in self._nodes:
            constants = [self._tensors[name] for name in node.input if name in self._tensors]
            if node.op_type == "Mul" and constants and constants[0].ndim == 1:
                smoothed[node.output[0]] = constants[0].astype(np.float32)
            elif node.op_type == "DynamicQuantizeMatMul":
                small, scale, _, bias = constants
                factor = smoothed.get(node.input[0], np.ones(len(small), np.float32))
                yield (small.astype(np.float32) * scale * factor[:, None]).astype(np.float32), bias.astype(np.float32)

    def norms(self) -> Iterator[list[Floats]]:
        """Yield the scale and the shift of each normalisation: of the embeddings, then two a layer."""
        for found in self._of("LayerNormalization"):
            yield [values.astype(np.float32) for values in found]

    def places(self) -> Floats:
        """Return the (places, hidden) embedding, token type included."""
        return next(found[0] for found in self._of("Slice")).astype(np.float32)


def _put(parameter: torch.Tensor, values: Floats) -> None:
    """Overwrite a parameter."""
    with torch.no_grad():
        parameter[: len(values)] = torch.from_numpy(values)


def _put_both(part: torch.nn.Module, values: Sequence[Floats]) -> None:
    """Overwrite weight and bias."""
    for parameter, wanted in zip((part.weight, part.bias), values, strict=True):
        _put(parameter, np.ascontiguousarray(wanted))


def restore(folder: Path, base: Path) -> Model:
    """Return the model in `folder` (encoder.onnx, heads.npz) in floating point, in the shape of the base folder.

    Raises ValueError where the two do not fit together.
    """
    constants = _Constants(onnx.load(folder / "encoder.onnx"))
    model, _ = load_base(base, constants.layers)
    embeddings, words = model.encoder.embeddings, constants.words()
    if words.shape != tuple(embeddings.word_embeddings.weight.shape):
        raise ValueError(f"{folder} has {words.shape} embeddings, {base} {embeddings.word_embeddings.weight.shape}")
    _put(embeddings.word_embeddings.weight, words)
    _put(embeddings.position_embeddings.weight, constants.places())
    torch.nn.init.zeros_(embeddings.token_type_embeddings.weight)  # its part is in the places already
    norms, dense = constants.norms(), constants.layers_of_weights()
    _put_both(embeddings.LayerNorm, next(norms))
    for layer in model.encoder.encoder.layer:
        attention = layer.attention.self
        weight, bias = next(dense)
        parts = (attention.query, attention.key, attention.value)
        for part, columns, added in zip(parts, np.split(weight, 3, axis=1), np.split(bias, 3), strict=True):
            _put_both(part, (columns.T, added))
        for part in (layer.attention.output.dense, layer.intermediate.dense, layer.output.dense):
            weight, bias = next(dense)
            _put_both(part, (weight.T, bias))
        _put_both(layer.attention.output.LayerNorm, next(norms))
        _put_both(layer.output.LayerNorm, next(norms))
    stored = Heads.load(folder / "heads.npz")
    for field in FIELDS:
        _put_both(model.heads[field], (stored.heads[field].weights.T, stored.heads[field].bias))
    return model


def main(words: Sequence[str] | None = None) -> None:
    """Restore and save a folder that Hugging Face's loaders read."""
    parser = argparse.ArgumentParser(prog="python -m nlp.train.restore", description="Turn a shipped model back.")
    parser.add_argument("--model", type=Path, default=Path("nlp/models"), help="folder with encoder.onnx, heads.npz")
    parser.add_argument("--base", type=Path, default=Path(".cache/base"), help="folder that nlp.train.base wrote")
    parser.add_argument("--out", type=Path, default=Path(".cache/restored"))
    given = parser.parse_args(words)
    save(restore(given.model, given.base), AutoTokenizer.from_pretrained(given.model), given.out)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
