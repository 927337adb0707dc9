"""Texts per second of the shipped pipeline, in batches and one by one."""

import itertools
import time
from typing import Any

from bench.place import PIPELINE, texts

NUMBER = 4000


async def measure() -> list[dict[str, Any]]:
    """Rows of batch size and texts per second; the first batch is left out."""
    rows = []
    for size in (1, 32, 500):
        sample = [f"{text} {n}" for n, text in enumerate(itertools.islice(texts(), NUMBER if size > 1 else 500))]
        PIPELINE.analyze(sample[:size])
        begin = time.perf_counter()
        for start in range(0, len(sample), size):
            PIPELINE.analyze(sample[start : start + size])
        rows.append({"batch": size, "texts/s": round(len(sample) / (time.perf_counter() - begin))})
    return rows
