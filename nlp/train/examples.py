"""What each task learns from: rows of data sets and made messages, turned into examples."""

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nlp.intents import INTENTS, REASONS, our_intent, our_reason
from nlp.languages import LANGUAGES, our_language
from nlp.pipeline import Field
from nlp.rows import Row
from nlp.train.grammar import Message, foreign, words
from nlp.train.softmax import Targets

LABELS: dict[Field, tuple[str, ...]] = {
    "language": LANGUAGES,
    "sentiment": ("negative", "neutral", "positive"),
    "complaint": ("complaint", "other"),
    "intent": INTENTS,
    "reason": REASONS,
}
NO_NEUTRAL = ("narabizi", "tsac", "tunizi")
"""Sources whose annotators could not say neutral: they tell negative from positive and nothing else."""

NO_DEV = ("twifil", "tsac", "tunizi", "arsarcasm2", "airline", "mac")
"""Sources without a dev file: a twentieth of their training rows is held out instead."""

_NO_COMPLAINT = tuple(label for label in INTENTS if label not in ("complaint", "leaving"))
_PRAISE_REASONS = (
    "best flight",
    "good flight",
    "amazing experience",
    "Customer Service was amazing",
    "good experience ",
    "it was okay",
)


@dataclass(frozen=True, slots=True)
class Example:
    """A text whose label is one of `wanted`, given that it is one of `allowed` (empty: any label)."""

    text: str
    lang: str
    source: str
    wanted: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    weight: float = 1.0
    held_out: bool = False


def _held(text: str, percent: int) -> bool:
    """Choose about `percent` % of texts, the same ones everywhere and for ever."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % 100 < percent


def learned_from(row: Row) -> bool:
    """Tell which dev rows are learned from: 90 % of TweetEval, the only general English of three classes."""
    return row.source == "tweeteval" and _held(row.text, 90)


def _crops(text: str, rng: random.Random) -> Iterator[str]:
    """Cut a short run of words and the first characters out of a text, so that short messages are met in training."""
    if len(text) > 24:
        yield text[: rng.randint(14, 24)]
    words = text.split()
    length = rng.randint(2, 5)
    if len(words) > length:
        start = rng.randrange(len(words) - length)
        yield " ".join(words[start : start + length])


def _told(message: Message, label: str, weight: float) -> Example:
    """Return what a message says of one task; one written by hand counts double."""
    weight *= 2 if message.source == "written" else 1
    return Example(message.text, message.language, message.source, (label,), weight=weight, held_out=message.held_out)


def language(rows: Iterable[Row], made: Iterable[Message], seed: int) -> Iterator[Example]:
    """Learn languages from the language of every row, of its crops, and of the made messages."""
    rng = random.Random(f"{seed} language")
    for row in rows:
        label = our_language(row.lang, row.text)
        if label is None or (row.source == "mac" and row.lang == "ar"):  # mac's "ar" is often Darija
            continue
        if row.lang == "hi" and row.text.isascii():  # as often English as Hindi
            continue
        if row.source in ("airline", "banking77", "clinc150") and rng.random() < 0.75:
            continue  # more English than the rest together
        weight = {"arsarcasm2": 0.3, "astd": 0.5, "tsac": 0.6, "tweeteval": 2.0}.get(row.source, 1.0)
        weight *= 2.0 if row.lang == "fr" else 1.0  # there is little of it
        held = _held(row.text, 5)
        yield Example(row.text, row.lang, row.source, (label,), weight=weight, held_out=held)
        if not held and not row.lang.startswith(("arq", "ary", "aeb")):  # a piece of mixed text may be French
            for crop in _crops(row.text, rng):
                yield Example(crop, row.lang, row.source, (label,), weight=0.5 * weight)
    for sentence in foreign() if made else ():
        yield Example(sentence, "other", "made", ("other",), weight=2.0)
    for message in made:
        yield _told(message, message.language, 0.5)


def sentiment(rows: Iterable[Row], made: Iterable[Message], seed: int) -> Iterator[Example]:
    """Learn sentiment from the sentiment rows and, with less weight, from the made messages."""
    weights = {"umsab": 2.0, "twifil": 1.0, "astd": 0.5, "mac": 0.7, "tweeteval": 1.0, "airline": 0.7}
    for row in rows:
        if row.task == "sentiment":
            allowed = ("negative", "positive") if row.source in NO_NEUTRAL else ()
            # umsab has only negative English rows in training, and much of its Hindi is English
            weight = 0.7 if row.source == "umsab" and row.lang in ("en", "hi") else weights.get(row.source, 1.0)
            held = row.source in NO_DEV and _held(row.text, 5)
            yield Example(row.text, row.lang, row.source, (row.label,), allowed, weight, held)
    for word, lang, label in words() if made else ():
        yield Example(word, lang, "made", (label,), weight=1.0)
    for message in made:
        yield _told(message, message.sentiment, 0.5)


def _general(row: Row, wanted: tuple[str, ...]) -> Example | None:
    """Take a third of the general (not customer) texts as a weak sign of what is no complaint."""
    if row.source == "airline" or not _held(row.text[::-1], 33):
        return None
    return Example(row.text, row.lang, row.source, wanted, weight=0.06)


def complaint(rows: Iterable[Row], made: Iterable[Message], seed: int) -> Iterator[Example]:
    """Learn complaints from the complaint set, airline reasons and praise, made messages, general text."""
    for row in rows:
        if row.task == "complaint":
            yield Example(row.text, row.lang, row.source, (row.label,), weight=1.5, held_out=_held(row.text, 15))
        elif row.task == "reason" and row.label not in _PRAISE_REASONS:
            yield Example(row.text, row.lang, row.source, ("complaint",), weight=0.25)
        elif row.task == "sentiment" and row.source == "airline":
            if row.label != "negative":  # the negative ones are the reason rows
                yield Example(row.text, row.lang, row.source, ("other",), weight=0.4)
        elif row.task == "intent" and our_intent(row.label) not in (None, "complaint"):
            yield Example(row.text, row.lang, row.source, ("other",), weight=0.1)
        elif row.task == "sentiment" and (weak := _general(row, ("other",))):
            yield weak
    for message in made:
        yield _told(message, message.complaint, 0.6)


def intent(rows: Iterable[Row], made: Iterable[Message], seed: int) -> Iterator[Example]:
    """Learn intents from made messages, the clear labels of public sets, and what rules complaints out."""
    for row in rows:
        if row.task == "intent":
            if label := our_intent(row.label):
                yield Example(row.text, row.lang, row.source, (label,), weight=0.25)
        elif row.task == "complaint":
            general = row.source.split("/")[-1] in ("random_tweet", "random_reply")
            wanted = ("complaint",) if row.label == "complaint" else ("other", "praise") if general else _NO_COMPLAINT
            yield Example(row.text, row.lang, row.source, wanted, held_out=_held(row.text, 15))
        elif row.task == "reason" and row.label not in _PRAISE_REASONS:
            yield Example(row.text, row.lang, row.source, ("complaint", "leaving"), weight=0.2)
        elif row.task == "sentiment" and row.source == "airline" and row.label != "negative":
            wanted = ("praise", "other") if row.label == "positive" else ("question", "request", "other", "purchase")
            yield Example(row.text, row.lang, row.source, wanted, weight=0.3)
        elif row.task == "sentiment" and (weak := _general(row, ("other",))):
            yield weak
    for message in made:
        yield _told(message, message.intent, 1.0)


def reason(rows: Iterable[Row], made: Iterable[Message], seed: int) -> Iterator[Example]:
    """Learn why people complain from the reason rows and the written messages."""
    for row in rows:
        if row.task == "reason" and (label := our_reason(row.label)):
            yield Example(row.text, row.lang, row.source, (label,), weight=0.5, held_out=_held(row.text, 15))
    for message in made:
        if message.reason:
            yield _told(message, message.reason, 1.0)


Source = Callable[[Iterable[Row], Iterable[Message], int], Iterator[Example]]


def examples(field: Field, rows: Sequence[Row], made: Sequence[Message], seed: int) -> list[Example]:
    """Return the examples of one task, in a fixed order."""
    sources: dict[Field, Source] = {
        "language": language,
        "sentiment": sentiment,
        "complaint": complaint,
        "intent": intent,
        "reason": reason,
    }
    return list(sources[field](rows, made, seed))


def targets(field: Field, chosen: Sequence[Example]) -> Targets:
    """Turn examples into the arrays that the fit takes."""
    labels = LABELS[field]
    wanted = np.array([[label in one.wanted for label in labels] for one in chosen], dtype=np.bool_)
    allowed = np.array(
        [[not one.allowed or label in one.allowed for label in labels] for one in chosen], dtype=np.bool_
    )
    return Targets(allowed, wanted, np.array([one.weight for one in chosen]))
