"""Intervals, tests and distances, against values worked out elsewhere."""

import pytest

from socialcrm.domain.likelihood import mcnemar, stability, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 0, 0.0, 1.0), (8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-4)  # R: prop.test(…, correct = FALSE)


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125), (2, 12, 0.01293)])
def test_the_test_of_mcnemar_is_exact(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p, abs=1e-5)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_the_stability_index_grows_with_the_distance_and_stands_missing_labels() -> None:
    same = stability({"a": 500, "b": 500}, {"a": 5000, "b": 5000})
    shifted = stability({"a": 380, "b": 620}, {"a": 2100, "b": 7900})
    assert same == pytest.approx(0, abs=1e-3)
    assert shifted == pytest.approx((0.38 - 0.21) * 0.5931 + (0.62 - 0.79) * -0.2423, abs=2e-3)
    assert 0 < stability({"a": 10}, {"b": 10}) < 10
    assert stability({}, {}) == 0
