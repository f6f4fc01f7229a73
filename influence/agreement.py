"""How far two sets of scores agree: correlation of values, of ranks, and of the first k. numpy only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.errors import InvalidRequest
from influence.ranking import lowest_rows

Floats = NDArray[np.float64]


def pearson(left: ArrayLike, right: ArrayLike) -> float:
    """Correlation of two equally long rows of numbers, in -1..1, taken in float64.

    Raises InvalidRequest where one of them does not vary (or has fewer than two values): agreement then means nothing.
    """
    a, b = _centred(left), _centred(right)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape[0]} values cannot be compared with {b.shape[0]}")
    return float(np.clip(a @ b, -1.0, 1.0))


def spearman(left: ArrayLike, right: ArrayLike) -> float:
    """Correlation of ranks, in -1..1; equal values share the mean of their ranks. Raises as `pearson` does."""
    return pearson(average_ranks(left), average_ranks(right))


def average_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks (n,) from 1, lowest value first; equal values share the mean of their ranks."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: NDArray[np.float64] = last - (counts - 1) / 2
    return means[place]


def top_k_overlap(left: ArrayLike, right: ArrayLike, k: int) -> float:
    """Share, in 0..1, of the k highest values of one that are among the k highest of the other, ties by row."""
    a, b = np.asarray(left), np.asarray(right)
    if not 0 < k <= len(a):
        raise InvalidRequest(f"k is {k}, but there are {len(a)} values.", hint=f"Ask for a k from 1 to {len(a)}.")
    return len(np.intersect1d(lowest_rows(-a, k), lowest_rows(-b, k))) / k


def rank_correlations(true: Floats, other: Floats) -> Floats:
    """Spearman's correlation (m,) of each row of two (m, n) score matrices; 1 where a row is all ties in both."""
    left, right = (_centred_ranks(scores) for scores in (true, other))
    sizes = np.sqrt((left * left).sum(1) * (right * right).sum(1))
    alike = np.where((np.ptp(true, axis=1) == 0) & (np.ptp(other, axis=1) == 0), 1.0, 0.0)
    return np.asarray(np.divide((left * right).sum(1), sizes, out=alike, where=sizes > 0), np.float64)


def share_found(true: Floats, other: Floats, k: int, among: int) -> float:
    """Share of the true k highest and k lowest that are among the other scores' `among` highest and lowest."""
    shares = []
    for sign in (1.0, -1.0):
        best = np.argsort(-sign * true, axis=1, kind="stable")[:, :k]
        seen = np.argsort(-sign * other, axis=1, kind="stable")[:, :among]
        shares.append((best[:, :, None] == seen[:, None, :]).any(2).mean())
    return float(np.mean(shares))


def _centred_ranks(scores: Floats) -> Floats:
    """Ranks with ties averaged, minus their mean."""
    ranks = np.empty(scores.shape)
    for row, values in enumerate(scores):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks[row] = (ends - (counts + 1) / 2)[place]
    return np.asarray(ranks - ranks.mean(1, keepdims=True), np.float64)


def _centred(values: ArrayLike) -> NDArray[np.float64]:
    """Values less their mean, at length 1."""
    numbers: NDArray[Any] = np.asarray(values, dtype=np.float64)
    if not numbers.size or numbers.min() == numbers.max():
        raise InvalidRequest(
            "The values do not vary, so nothing can be said about agreement.",
            hint="Compare scores of at least two rows that differ.",
        )
    # Scaled first: squares of values near the type's ends would overflow or vanish.
    centred = numbers / np.abs(numbers).max()
    centred -= centred.mean()
    unit: NDArray[np.float64] = centred / np.linalg.norm(centred)
    return unit
