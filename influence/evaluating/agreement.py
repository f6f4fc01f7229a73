"""How far two sets of scores agree, and scores with marks: by values, by ranks, by the first k. numpy only.

Equal values share the mean of their ranks, so that no figure depends on the order of a data set.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.errors import InvalidRequest
from influence.ranking.order import lowest_rows

Floats = NDArray[np.float64]
#: Scores (m, n) of rows, one line per test point.
Lines = NDArray[np.floating[Any]]


def pearson(left: ArrayLike, right: ArrayLike) -> float:
    """Correlation of two equally long rows of numbers, in -1..1, taken in float64.

    Raises InvalidRequest where one of them does not vary (or has fewer than two values): agreement then means nothing.
    """
    a, b = _centred(left), _centred(right)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape[0]} values cannot be compared with {b.shape[0]}")
    return float(np.clip(a @ b, -1.0, 1.0))


def spearman(left: ArrayLike, right: ArrayLike) -> float:
    """Correlation of ranks, in -1..1. Raises as `pearson` does."""
    return pearson(average_ranks(left), average_ranks(right))


def average_ranks(values: ArrayLike) -> Floats:
    """Ranks (n,) from 1, lowest value first."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = last - (counts - 1) / 2
    return means[place]


def unit_ranks(lines: Lines) -> Floats:
    """Ranks (m, n) of each line less their mean, at length 1: inner products are correlations. Zeros where a line does
    not vary."""
    ranks = np.stack([average_ranks(line) for line in lines])
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.asarray(np.divide(ranks, lengths, out=np.zeros_like(ranks), where=lengths > 0), np.float64)


def rank_correlations(left: Lines, right: Lines) -> Floats:
    """Spearman's correlation (m,) of each line of two sets of scores (m, n).

    Lines that do not vary agree with each other and with nothing else.
    """
    ours, theirs = unit_ranks(left), unit_ranks(right)
    both_flat = ~ours.any(1) & ~theirs.any(1)
    return np.asarray(np.where(both_flat, 1.0, np.clip((ours * theirs).sum(1), -1.0, 1.0)), np.float64)


def share_found(true: Lines, other: Lines, k: int, among: int) -> float:
    """Share, in 0..1, of the k highest and k lowest rows of each line that are among the other's `among` highest and
    lowest, ties by row. Raises InvalidRequest where k or `among` is not from 1 to n."""
    if not 0 < k <= among <= true.shape[1]:
        raise InvalidRequest(
            f"{k} of {among} rows are asked for, but there are {true.shape[1]}.", hint="Ask for fewer rows."
        )
    shares = [
        np.isin(lowest_rows(sign * line, k), lowest_rows(sign * seen, among)).mean()
        for line, seen in zip(true, other, strict=True)
        for sign in (-1.0, 1.0)
    ]
    return float(np.mean(shares))


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Chance, in 0..1, that a positive row has a higher score than another; a tie counts half (Mann-Whitney).

    Raises InvalidRequest where all rows are positive or none is.
    """
    values, marks = check_marks(scores, positive)
    count = int(marks.sum())
    if count == len(marks):
        raise InvalidRequest("Every row is positive, so there is nothing to tell apart.", hint="Compare two groups.")
    pairs_in_order = average_ranks(values)[marks].sum() - count * (count + 1) / 2
    return float(pairs_in_order / (count * (len(marks) - count)))


def check_marks(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores and marks (n,) as arrays. Raises InvalidRequest where none is marked or a score is not finite."""
    values = check_finite(scores)
    marks: NDArray[Any] = np.asarray(positive, dtype=np.bool_)
    if values.shape != marks.shape:
        raise ValueError(f"{len(values)} scores do not fit {len(marks)} marks")
    if not marks.any():
        raise InvalidRequest("No row is positive, so there is nothing to find.", hint="Mark at least one row.")
    return values, marks


def check_finite(values: ArrayLike) -> Floats:
    """Values (n,) as an array. Raises InvalidRequest for none, or some that are not finite."""
    numbers: Floats = np.asarray(values, dtype=np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise InvalidRequest(
            "There are no values, or some are not finite.", hint="Leave out what could not be measured."
        )
    return numbers


def _centred(values: ArrayLike) -> Floats:
    """Values less their mean, at length 1."""
    numbers: Floats = np.asarray(values, dtype=np.float64)
    if not numbers.size or numbers.min() == numbers.max():
        raise InvalidRequest(
            "The values do not vary, so nothing can be said about agreement.",
            hint="Compare scores of at least two rows that differ.",
        )
    # Scaled first: squares of values near the type's ends would overflow or vanish.
    centred = numbers / np.abs(numbers).max()
    centred -= centred.mean()
    return np.asarray(centred / np.linalg.norm(centred), np.float64)
