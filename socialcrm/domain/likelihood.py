"""How sure a figure is: intervals, tests and distances between shares. Pure functions of counts."""

from collections.abc import Mapping
from math import comb, log, sqrt

FEW = 20
"""Of fewer judgements than this no accuracy is shown."""
Z = 1.959964
"""The 97.5th percentile of the normal distribution."""


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share, each end from 0 to 1; (0, 1) of nothing.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if count == 0:
        return 0.0, 1.0
    share = right / count
    middle = share + Z**2 / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    whole = 1 + Z**2 / count
    return max((middle - half) / whole, 0.0), min((middle + half) / whole, 1.0)


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value that two models are equally often right, by the exact binomial test on the rows that only
    one of them got right. Q. McNemar, Psychometrika 12 (1947)."""
    count, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(count, k) for k in range(fewer + 1))
    return float(min(2 * tail / 2**count, 1.0))


def stability(counts: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """The population stability index between two sets of counts: the sum of (p - q) ln(p / q) over all labels."""
    return sum(stability_parts(counts, reference).values())


def stability_parts(counts: Mapping[str, int], reference: Mapping[str, int]) -> dict[str, float]:
    """What each label adds to the stability index; never negative.

    Each label is given half a count more, so that one that is missing on one side does not make it infinite.
    """
    labels = sorted(counts.keys() | reference.keys())
    total, before = sum(counts.values()) + len(labels) / 2, sum(reference.values()) + len(labels) / 2
    pairs = {name: ((counts.get(name, 0) + 0.5) / total, (reference.get(name, 0) + 0.5) / before) for name in labels}
    return {name: (p - q) * log(p / q) for name, (p, q) in pairs.items()}
