"""How well a likeness finds the entry of the FAQ that answers a question, across languages.

Two sets: a shop with 15 entries in French, 60 questions in five languages and 25 messages that no entry answers, and a
bank with 15 entries in English, 40 questions and 12 such messages. python -m tests.nlp.retrieval prints the figures.
"""

import json
import tomllib
from dataclasses import dataclass

from nlp.pipeline import Pipeline
from nlp.suggest import MIXED, Index, Likeness
from tests.nlp.conftest import LABELLED

FAQS = ("shop", "bank")
LANGUAGES = ("fr", "ar", "arq-Arab", "arq-Latn", "en")
SHARES = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.7, 0.3, 0), (0.5, 0, 0.5), MIXED, (0.6, 0.1, 0.3), (0.2, 0.1, 0.7))
"""Other ways to mix a score, to see what each part is worth."""


@dataclass(frozen=True)
class Found:
    """A message, the entry that answers it, and the entries found with their scores, the likest first."""

    text: str
    lang: str
    entry: str | None
    entries: tuple[tuple[str, float], ...]

    def is_within(self, places: int) -> bool:
        """Whether the right entry is among the first."""
        return self.entry in [name for name, _ in self.entries[:places]]


def search(likeness: Likeness, faq: str) -> list[Found]:
    """Ask every question of a set."""
    entries = tomllib.loads((LABELLED / "suggest.toml").read_text(encoding="utf-8"))[faq]
    texts = [(entry["id"], text) for entry in entries for text in [*entry["phrases"], *entry["answers"].values()]]
    index: Index[tuple[str, str]] = Index(likeness)
    index.add(texts, [text for _, text in texts])
    found = []
    for line in (LABELLED / "suggest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["faq"] != faq:
            continue
        best: dict[str, float] = {}
        for hit in index.nearest(row["text"], len(texts), -1.0):
            best.setdefault(hit.key[0], hit.score)
        found.append(Found(row["text"], row["lang"], row["entry"], tuple(best.items())))
    return found


def share(found: list[Found], places: int, lang: str = "") -> float:
    """The part of the questions, of all or of one language, whose entry is among the first."""
    asked = [one for one in found if one.entry and lang in ("", one.lang)]
    return sum(one.is_within(places) for one in asked) / len(asked)


@dataclass(frozen=True)
class Shown:
    """What an agent sees with a floor, three suggestions at most. Parts from 0 to 1."""

    right: float
    """Of the messages for which something is shown those for which the right entry is."""
    answered: float
    """Of the questions those for which the right entry is shown."""
    needless: float
    """Of the messages that no entry answers those for which something is shown all the same."""


def shown(found: list[Found], floor: float, most: int = 3) -> Shown:
    """What would be shown for these messages."""
    cards = [[name for name, score in one.entries[:most] if score >= floor] for one in found]
    right = sum(one.entry in names for one, names in zip(found, cards, strict=True))
    others = [bool(names) for one, names in zip(found, cards, strict=True) if not one.entry]
    asked = len(found) - len(others)
    return Shown(right / max(sum(map(bool, cards)), 1), right / asked, sum(others) / len(others))


def main() -> None:
    """Print the figures of the shipped likeness and of the one without an encoder, then of other shares."""
    encoder = Pipeline.load().encoder
    for name, likeness in (("shipped", Likeness(encoder)), ("no encoder", Likeness(None))):
        for faq in FAQS:
            found = search(likeness, faq)
            by_language = ", ".join(f"{one} {share(found, 1, one):.2f}/{share(found, 3, one):.2f}" for one in LANGUAGES)
            print(f"{name}, {faq}: top-1 {share(found, 1):.2f}, top-3 {share(found, 3):.2f} ({by_language})")
            for floor in sorted({likeness.floor, *(step / 100 for step in range(25, 60, 5))}):
                seen = shown(found, floor)
                mark = " <- the floor" if floor == likeness.floor else ""
                print(
                    f"  floor {floor:.2f}: right {seen.right:.2f}, answered {seen.answered:.2f}, "
                    f"needless {seen.needless:.2f}{mark}"
                )
    for shares in SHARES if encoder else ():
        tried = [search(Likeness(encoder, shares), faq) for faq in FAQS]
        figures = ", ".join(f"{share(one, 1):.2f}/{share(one, 3):.2f}" for one in tried)
        print(f"meaning, spelling, concepts {shares}: {figures}")


if __name__ == "__main__":
    main()
