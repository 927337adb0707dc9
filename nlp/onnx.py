"""The shipped encoder: texts -> vectors, by ONNX Runtime on a CPU, without torch."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from nlp.normalize import clean

States = NDArray[np.float32]

MAX_TOKENS = 128
"""Pieces of a text that are read; of a longer one the first half and the last half of as many."""

_TOKENS_A_BATCH = 512  # the widest state of as many is 3 MB: more leaves the processor's cache
_TEXTS_A_BATCH = 64
_REMEMBERED = 8_192  # texts whose states are kept: at 384 floats each, 12 MB
_MOST_THREADS = 4  # more do not help matrices this small


def _threads() -> int:
    """Return how many cores this process may use, at most _MOST_THREADS."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST_THREADS)


def runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Cut the places of texts into batches of like lengths: little padding, bounded memory."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == _TEXTS_A_BATCH or (len(batch) + 1) * lengths[place] > _TOKENS_A_BATCH):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class Encoder:
    """Turns texts into pooled states; may be used by many threads at once."""

    def __init__(
        self, folder: Path, name: str, likeness: NDArray[np.float32] | None = None, threads: int | None = None
    ) -> None:
        """Open encoder.onnx and the tokenizer in `folder`.

        `name` changes with the vectors. `likeness` (hidden + 1, hidden) projects states to vectors whose product tells
        how alike two texts are; its last row is the bias. Raises FileNotFoundError if a file is missing and ValueError
        if one cannot be read.
        """
        path = folder / "encoder.onnx"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing")
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
        from transformers import PreTrainedTokenizerFast  # here: a second; AutoTokenizer would bring torch in as well

        options = onnxruntime.SessionOptions()
        # A thread a batch instead of several at one: matrices this small leave them waiting for each other.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder).backend_tokenizer
        except Exception as error:  # each of the two libraries has a dozen kinds of its own
            raise ValueError(f"{folder} holds no model that can be read: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.name = name
        self._tokenizer = tokenizer
        self._likeness = likeness
        self.hidden: int = self._session.get_outputs()[0].shape[1]
        self._known: OrderedDict[str, States] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads or _threads(), thread_name_prefix="encoder")
        self._last = lru_cache(maxsize=4)(self._states)  # the components of a pipeline ask for one batch in turn

    def states(self, texts: Sequence[str]) -> States:
        """Return (texts, hidden): the mean of the last states over the pieces of each raw text."""
        return self._last(tuple(texts))

    def vectors(self, texts: Sequence[str]) -> States:
        """Return (texts, hidden) of length 1: the product of two of them tells how alike in meaning the texts are."""
        found = self.states(texts)
        if self._likeness is not None:
            found = found @ self._likeness[:-1] + self._likeness[-1]
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        result: States = found / np.maximum(lengths, 1e-9)
        return result

    def _states(self, texts: tuple[str, ...]) -> States:
        """Look the texts up among those known and compute the others, each once."""
        plain = [clean(text) for text in texts]
        with self._lock:
            found = {text: state for text in plain if (state := self._known.get(text)) is not None}
        new = list(dict.fromkeys(text for text in plain if text not in found))
        if new:
            found.update(zip(new, self._computed(new), strict=True))
            with self._lock:
                self._known.update((text, found[text]) for text in new)
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return np.stack([found[text] for text in plain]) if plain else np.empty((0, self.hidden), np.float32)

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of the pieces of clean texts, at most MAX_TOKENS each."""
        ids = (encoded.ids for encoded in self._tokenizer.encode_batch(list(texts)))
        half = MAX_TOKENS // 2
        return [one if len(one) <= MAX_TOKENS else one[:half] + one[-half:] for one in ids]

    def run(self, ids: Sequence[Sequence[int]]) -> States:
        """Run the model once over one batch of pieces."""
        lengths = np.fromiter(map(len, ids), np.int32, len(ids))
        table = np.ones((len(ids), lengths.max()), dtype=np.int32)
        for row, pieces in enumerate(ids):
            table[row, : len(pieces)] = pieces
        result: States = self._session.run(None, {"ids": table, "lengths": lengths})[0]
        return result

    def _computed(self, texts: Sequence[str]) -> States:
        """Compute the states of clean texts, batch by batch."""
        ids = self.pieces(texts)
        result = np.empty((len(ids), self.hidden), dtype=np.float32)
        batches = list(runs([len(one) for one in ids]))
        done = self._pool.map(lambda batch: self.run([ids[place] for place in batch]), batches)
        for batch, states in zip(batches, done, strict=True):
            result[batch] = states
        return result
