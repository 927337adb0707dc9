"""How topics grow with the number of messages, and near-duplicates beside comparing all pairs."""

import itertools
import json
import random
import time
from collections.abc import Sequence
from typing import Any

from config.settings import HERE
from nlp.duplicates import SHARED, group
from nlp.normalize import normalize
from nlp.topics import topics

SMALL, LARGE, PAIRED = 10_000, 100_000, 2_000
CHAINS, COPIED = 20, 0.05
"""Different chain messages, and the share of all messages that are copies of one with a word changed."""


async def measure() -> list[dict[str, Any]]:
    """Rows of what was done to how many messages, seconds, messages per second, and beside what: for topics the time a
    message takes of that among the small number, for near-duplicates the time of comparing all pairs."""
    topics(messages(1_000), messages(1_000, 1))
    small, large = (_seconds_of_topics(number) for number in (SMALL, LARGE))
    texts = messages(PAIRED)
    started = time.perf_counter()
    found = len(set(group(texts)))
    ours = time.perf_counter() - started
    started = time.perf_counter()
    compared = len(set(all_pairs(texts)))
    naive = time.perf_counter() - started
    return [
        _row("topics", SMALL, small, 1.0),
        _row("topics", LARGE, large, (large / LARGE) / (small / SMALL)),
        _row(f"near-duplicates: {found:,} groups", PAIRED, ours, 1.0),
        _row(f"all pairs: {compared:,} groups", PAIRED, naive, naive / ours),
    ]


def messages(number: int, seed: int = 0) -> list[str]:
    """Made messages: two sentences of the demo company with a name between them, and some chain messages."""
    chance = random.Random(seed)
    stream = (HERE / "demo" / "stream.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)["text"] for line in stream]
    chains = [" ".join(chance.sample(sentences, 3)) for _ in range(CHAINS)]
    found = []
    for _ in range(number):
        name = "".join(chance.choices("abdeiklmnorstu", k=7))
        if chance.random() < COPIED:
            found.append(f"{chance.choice(chains)} {name}")
        else:
            one, other = chance.sample(sentences, 2)
            words = [*one.split(), name, *other.split()]
            start = chance.randrange(max(len(words) - 8, 1))
            found.append(" ".join(words[start : start + chance.randrange(8, 24)]))
    return found


def all_pairs(texts: Sequence[str]) -> list[int]:
    """The same groups by looking at every pair: a text joins the first one with which it shares its words."""
    words = [frozenset(normalize(text).split()) for text in texts]
    firsts = list(range(len(texts)))
    for one, other in itertools.combinations(range(len(texts)), 2):
        if firsts[other] == other and len(words[one] & words[other]) >= SHARED * len(words[one] | words[other]):
            firsts[other] = firsts[one]
    return firsts


def _seconds_of_topics(number: int) -> float:
    """One half of the messages against the other."""
    texts = messages(number)
    started = time.perf_counter()
    topics(texts[: number // 2], texts[number // 2 :])
    return time.perf_counter() - started


def _row(what: str, number: int, seconds: float, ratio: float) -> dict[str, Any]:
    return {
        "what": what,
        "messages": number,
        "seconds": round(seconds, 2),
        "messages/s": round(number / seconds),
        "ratio": round(ratio, 2),
    }
