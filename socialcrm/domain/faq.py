"""How right the answers of the FAQ are, by the least score that is asked for: measured on labelled questions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from socialcrm.domain.likelihood import wilson

STEPS = tuple(step / 100 for step in range(30, 101))
"""The scores that are tried."""


@dataclass(frozen=True)
class Asked:
    """A labelled question: the entry that answers it, if any, and the one that was found with its score."""

    language: str
    entry: str | None
    found: str | None
    score: float


@dataclass(frozen=True)
class Point:
    """What happens when answers need at least this score: how many are given, and how many of them are right."""

    score: float
    given: int
    right: int

    @property
    def precision(self) -> float | None:
        """The share of right ones among those that are given; None of none."""
        return self.right / self.given if self.given else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the precision (Wilson's)."""
        return wilson(self.right, self.given) if self.given else None


@dataclass(frozen=True)
class Curve:
    """All points, of all questions and of each language's. `asked` is how many have an answer, `others` how many have
    none."""

    points: tuple[Point, ...]
    asked: int
    others: int
    by_language: Mapping[str, "Curve"]

    def threshold(self, bar: float) -> Point | None:
        """The first point from which on precision stays at the bar or above; None where that is never so."""
        found: Point | None = None
        for point in reversed(self.points):
            if point.precision is None:
                continue
            if point.precision < bar:
                break
            found = point
        return found

    def recall(self, point: Point) -> float:
        """The share of the questions with an answer that get it."""
        return point.right / self.asked if self.asked else 0.0

    def at(self, score: float) -> Point:
        """The point of a score."""
        return min(self.points, key=lambda point: abs(point.score - score))

    def as_json(self) -> dict[str, Any]:
        """For a row or a file."""
        return {
            "points": [list(asdict(point).values()) for point in self.points],
            "asked": self.asked,
            "others": self.others,
            "by_language": {language: curve.as_json() for language, curve in self.by_language.items()},
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "Curve":
        """What `as_json` wrote."""
        points = tuple(Point(score, given, right) for score, given, right in values["points"])
        languages = {language: cls.of_json(curve) for language, curve in values["by_language"].items()}
        return cls(points, values["asked"], values["others"], languages)


def measure(asked: Sequence[Asked]) -> Curve:
    """The curve of labelled questions."""
    languages = sorted({one.language for one in asked})
    return _curve(asked, {name: _curve([one for one in asked if one.language == name], {}) for name in languages})


def _curve(asked: Sequence[Asked], languages: Mapping[str, Curve]) -> Curve:
    points = []
    for score in STEPS:
        given = [one for one in asked if one.found and one.score >= score - 1e-9]
        points.append(Point(score, len(given), sum(one.found == one.entry for one in given)))
    count = sum(one.entry is not None for one in asked)
    return Curve(tuple(points), count, len(asked) - count, languages)
