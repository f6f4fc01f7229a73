"""How well scores find the rows that they should, and how sure a mean over few test points is. numpy only.

Higher scores are looked at first. Equal scores share what they find: every figure is the mean over all orders of the
tied rows, so that no figure depends on the order of a data set.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.evaluating.agreement import check_finite, check_marks

Floats = NDArray[np.float64]

#: Samples drawn with replacement for one interval: its ends then move by a few hundredths of its length at most.
RESAMPLES = 2000


def precision_curve(scores: ArrayLike, positive: ArrayLike) -> tuple[Floats, Floats]:
    """(recall, precision), each (n,) in 0..1, after looking at the 1, 2, ..., n rows of highest score.

    Raises InvalidRequest where no row is positive.
    """
    values, marks = check_marks(scores, positive)
    found = _found(values, marks)
    return found / marks.sum(), found / np.arange(1, len(marks) + 1)


def bootstrap_interval(values: ArrayLike, *, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile bootstrap interval of the mean of values (n,) drawn anew from themselves.

    The same values and seed give the same interval; one value alone gives an interval without length.
    Raises InvalidRequest for no values or values that are not finite.
    """
    numbers = check_finite(values)
    rng = np.random.default_rng(seed)
    # One sample at a time: all at once would take RESAMPLES x n numbers.
    means = [numbers[rng.integers(0, len(numbers), len(numbers))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_and_interval(values: ArrayLike, *, seed: int, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of values (n,), see `bootstrap_interval`."""
    return float(check_finite(values).mean()), *bootstrap_interval(values, seed=seed, level=level)


def _found(values: Floats, marks: NDArray[np.bool_]) -> Floats:
    """Positive rows (n,) found after 1, 2, ..., n rows: rows of one score count as equal shares of its positives."""
    levels, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(place, weights=marks, minlength=len(levels)) / counts
    found: Floats = np.cumsum(np.repeat(shares[::-1], counts[::-1]))
    return found
