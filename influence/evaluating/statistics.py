"""How well scores find the rows that they should, and how sure a mean over few test points is. numpy only.

Higher scores are looked at first. Equal scores share what they find: every figure is the mean over all orders of the
tied rows, so that no figure depends on the order of a data set.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.agreement import average_ranks
from influence.errors import InvalidRequest

Floats = NDArray[np.float64]

#: Samples drawn with replacement for one interval: its ends then move by a few hundredths of its length at most.
RESAMPLES = 2000


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Chance, in 0..1, that a positive row has a higher score than another; a tie counts half (Mann-Whitney).

    Raises InvalidRequest where all rows are positive or none is.
    """
    values, marks = _checked(scores, positive)
    count = int(marks.sum())
    if count == len(marks):
        raise InvalidRequest("Every row is positive, so there is nothing to tell apart.", hint="Compare two groups.")
    pairs_in_order = average_ranks(values)[marks].sum() - count * (count + 1) / 2
    return float(pairs_in_order / (count * (len(marks) - count)))


def precision_curve(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Floats]:
    """(recall, precision), each (n,) in 0..1, after looking at the 1, 2, ..., n rows of highest score.

    Raises InvalidRequest where no row is positive.
    """
    values, marks = _checked(scores, positive)
    found = _found(values, marks)
    return found / marks.sum(), found / np.arange(1, len(marks) + 1)


def recall_at(scores: ArrayLike, positive: ArrayLike, k: int) -> float:
    """Share, in 0..1, of the positive rows that are among the k of highest score.

    Raises InvalidRequest where no row is positive or k is not from 1 to n.
    """
    recall, _ = precision_curve(scores, positive)
    if not 0 < k <= len(recall):
        raise InvalidRequest(
            f"k is {k}, but there are {len(recall)} rows.", hint=f"Ask for a k from 1 to {len(recall)}."
        )
    return float(recall[k - 1])


def bootstrap_interval(values: ArrayLike, *, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile bootstrap interval of the mean of values (n,) drawn anew from themselves.

    The same values and seed give the same interval; one value alone gives an interval without length.
    Raises InvalidRequest for no values or values that are not finite.
    """
    numbers = _finite(values)
    rng = np.random.default_rng(seed)
    # One sample at a time: all at once would take RESAMPLES x n numbers.
    means = [numbers[rng.integers(0, len(numbers), len(numbers))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_and_interval(values: ArrayLike, *, seed: int, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of values (n,), see `bootstrap_interval`."""
    return float(_finite(values).mean()), *bootstrap_interval(values, seed=seed, level=level)


def _found(values: Floats, marks: NDArray[np.bool_]) -> Floats:
    """Positive rows (n,) found after 1, 2, ..., n rows: rows of one score count as equal shares of its positives."""
    levels, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=marks, minlength=len(levels)) / counts
    found: Floats = np.cumsum(np.repeat(shares[::-1], counts[::-1]))
    return found


def _checked(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values = _finite(scores)
    marks: NDArray[Any] = np.asarray(positive, dtype=np.bool_)
    if values.shape != marks.shape:
        raise ValueError(f"{len(values)} scores do not fit {len(marks)} marks")
    if not marks.any():
        raise InvalidRequest("No row is positive, so there is nothing to find.", hint="Mark at least one row.")
    return values, marks


def _finite(values: ArrayLike) -> Floats:
    numbers: Floats = np.asarray(values, dtype=np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise InvalidRequest(
            "There are no values, or some are not finite.", hint="Leave out what could not be measured."
        )
    return numbers
