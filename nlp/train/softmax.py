"""Multinomial logistic regression with partial labels, on sparse rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import csr_matrix

from nlp.features import Ngrams


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of the label of each row.

    `allowed` and `wanted` are (rows, labels) booleans: the label is among the wanted ones, given that it
    is among the allowed ones. One known label: all allowed, one wanted. A source without a neutral class:
    neutral is neither. "Anything but a complaint": all allowed, all but one wanted. `weights` is (rows,).
    """

    allowed: NDArray[np.bool_]
    wanted: NDArray[np.bool_]
    weights: NDArray[np.float64]


def _restricted(
    logits: NDArray[np.float64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the log of the summed exponentials over the mask (rows,) and the softmax inside it."""
    inside = np.where(mask, logits, -np.inf)
    top = inside.max(axis=1, keepdims=True)
    exponentials = np.exp(inside - top)
    total = exponentials.sum(axis=1, keepdims=True)
    return (np.log(total) + top)[:, 0], exponentials / total


def loss(logits: NDArray[np.float64], targets: Targets) -> tuple[float, NDArray[np.float64]]:
    """Return the weighted mean of -log P(wanted | allowed) and its gradient by the logits."""
    everything, given = _restricted(logits, targets.allowed)
    hoped, posterior = _restricted(logits, targets.wanted)
    weights = targets.weights / targets.weights.sum()
    return float(weights @ (everything - hoped)), (given - posterior) * weights[:, None]


def matrix(grams: Ngrams, buckets: int) -> csr_matrix:
    """Return the (texts, buckets) rows that nlp.linear.gather multiplies with: counts over root of length."""
    columns = (grams.hashes & np.uint32(buckets - 1)).astype(np.int32)
    scale = 1 / np.sqrt(np.maximum(grams.counts, 1))
    values = np.repeat(scale, grams.counts).astype(np.float32)
    starts = np.concatenate(([0], np.cumsum(grams.counts)))
    rows = csr_matrix((values, columns, starts), shape=(len(grams.counts), buckets))
    rows.sum_duplicates()
    return rows


def fit(
    rows: csr_matrix, targets: Targets, penalty: float, steps: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit weights (buckets, labels) and bias (labels,) with L-BFGS; deterministic.

    Minimises the loss plus penalty/(2 * sum of weights) * |weights|^2. Buckets met in one row alone stay 0.
    """
    frequency = np.bincount(rows.indices, minlength=rows.shape[1])
    kept = np.flatnonzero(frequency >= 2)
    idf = np.log1p(rows.shape[0] / frequency[kept]).astype(np.float32) / 4
    used = csr_matrix(rows[:, kept].multiply(idf[None, :]))
    turned = used.T.tocsr()
    size, labels = used.shape[1], targets.allowed.shape[1]
    pull = penalty / targets.weights.sum()

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[:-labels].reshape(size, labels), flat[-labels:]
        logits = (used @ weights.astype(np.float32)).astype(np.float64) + bias
        value, slope = loss(logits, targets)
        by_weights = (turned @ slope.astype(np.float32)).astype(np.float64) + pull * weights
        gradient = np.concatenate((by_weights.ravel(), slope.sum(axis=0)))
        return value + 0.5 * pull * float((weights * weights).sum()), gradient

    start = np.zeros((size + 1) * labels)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 8})
    weights = np.zeros((rows.shape[1], labels), dtype=np.float32)
    weights[kept] = found.x[:-labels].reshape(size, labels).astype(np.float32) * idf[:, None]
    return weights, found.x[-labels:].astype(np.float32)


def temperature(logits: NDArray[np.float64], targets: Targets) -> float:
    """Return the divisor of the logits with the least loss (temperature scaling, Guo et al. 2017)."""
    found = minimize_scalar(lambda log: loss(logits / np.exp(log), targets)[0], bounds=(-2, 2), method="bounded")
    return float(np.exp(found.x))
