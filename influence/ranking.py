"""From influence to what people look at: scores, rankings, percentiles, histogram and summary. numpy only.

One convention: `score = -influence`, a positive score is helpful (training on the row lowered the test loss).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import Direction, Histogram, Order
from influence.errors import InvalidRequest

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]

#: Bins of a histogram of scores.
HISTOGRAM_BINS = 50

#: Quantiles of a summary, by name.
QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}


def _no_rows() -> Rows:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Row indexes, best first, of the orders that were asked for; the others are empty."""

    helpful: Rows = field(default_factory=_no_rows)
    harmful: Rows = field(default_factory=_no_rows)
    absolute: Rows = field(default_factory=_no_rows)


def scores_of(influence: Floats) -> Floats:
    """`-influence`, without a negative zero."""
    return 0.0 - influence


def direction_of(score: float) -> Direction:
    """The truth about one row, whichever list it stands in: a score of zero helped nobody."""
    return "helpful" if score > 0 else "harmful"


def rank_rows(scores: Floats, k: int, order: Order) -> Ranking:
    """The k first rows (n,) by order: `helpful` highest score first, `harmful` lowest first, `absolute` largest
    size first, `both` the first two. Equal scores stand in row order. Raises InvalidRequest where k exceeds n.

    Of `both`, each list has only rows of its own direction, and may be shorter than k; an order by itself is a ranking
    of all rows.
    """
    if not 0 < k <= len(scores):
        raise InvalidRequest(
            f"k is {k}, but the index has {len(scores)} rows.", hint=f"Ask for a k from 1 to {len(scores)}."
        )
    if order == "absolute":
        return Ranking(absolute=lowest_rows(-np.abs(scores), k))
    helpful = lowest_rows(-scores, k) if order in ("helpful", "both") else _no_rows()
    harmful = lowest_rows(scores, k) if order in ("harmful", "both") else _no_rows()
    if order == "both":
        return Ranking(helpful=helpful[scores[helpful] > 0], harmful=harmful[scores[harmful] < 0])
    return Ranking(helpful=helpful, harmful=harmful)


def lowest_rows(values: Floats, k: int) -> Rows:
    """Indexes of the k lowest values, lowest first, ties in row order: O(n) plus a sort of k."""
    threshold = np.partition(values, k - 1)[k - 1]
    below = np.flatnonzero(values < threshold)
    level = np.flatnonzero(values == threshold)[: k - len(below)]
    chosen = np.sort(np.concatenate([below, level]))
    return chosen[np.argsort(values[chosen], kind="stable")]


def percentiles(scores: Floats, rows: Rows) -> NDArray[np.float64]:
    """Share of the other rows with a lower score than each of some rows, in 0..100, both ends included."""
    levels, place = np.unique(scores[rows], return_inverse=True)
    counts = np.bincount(np.searchsorted(levels, scores, side="right"), minlength=len(levels) + 1)
    # `counts[j]` are the rows from level j-1 up to level j, level j itself left out.
    return np.multiply(np.cumsum(counts)[place], 100.0 / max(len(scores) - 1, 1), dtype=np.float64)


#: Makes the median of absolute deviations the standard deviation of a normal distribution.
_MAD_TO_DEVIATION = 1.4826


def readable_scales(scores: Floats, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Scores of some rows (r,) on scales that people can read.

    First as a share of the largest size of all scores (n,), in -1..1; then as robust z: the distance from the median in
    robust standard deviations (1.4826 times the median absolute deviation), None where most scores are alike.
    """
    known = np.asarray(scores, dtype=np.float64)
    largest = float(np.abs(known).max())
    shares = known[rows] / largest if largest > 0 else np.zeros(len(rows))
    median = float(np.median(known))
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(known - median)))
    return shares, (known[rows] - median) / spread if spread > 0 else None


def histogram(scores: Floats, bins: int = HISTOGRAM_BINS) -> Histogram:
    """Counts over equally wide bins from lowest to highest score; always `bins` of them.

    Scores that are all alike, or differ by less than their type can divide, get edges half a unit of their own
    size (at least 0.5) to either side.
    """
    low, high = float(scores.min()), float(scores.max())
    if not _divides(low, high, bins, scores.dtype):
        margin = max(0.5, abs(low) / 2)
        low, high = low - margin, high + margin
    counts, edges = np.histogram(scores, bins=bins, range=(low, high))
    return Histogram(hist=tuple(counts.tolist()), bin_edges=tuple(edges.tolist()))


def summarise(scores: Floats) -> dict[str, float]:
    """Mean, std, min, max, quantiles (`QUANTILES`) and share of helpful rows in 0..1, taken in float64."""
    quantiles = np.quantile(scores, list(QUANTILES.values()))
    return {
        "mean": float(scores.mean(dtype=np.float64)),
        "std": float(scores.std(dtype=np.float64)),
        "min": float(scores.min()),
        "max": float(scores.max()),
        **{name: float(value) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "share_helpful": float(np.count_nonzero(scores > 0) / len(scores)),
    }


def _divides(low: float, high: float, bins: int, dtype: np.dtype[Any]) -> bool:
    return high - low > bins * float(np.finfo(dtype).eps) * max(abs(low), abs(high))
