"""What people read of a test point's scores: by counts, by places in their order and by exact sums alone, so that it is
the same to the bit however many workers hold them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import Histogram
from influence.ranking.exact_sums import ExactSums

#: Bins of a histogram of scores.
HISTOGRAM_BINS = 50
#: Quantiles of a summary, by name.
QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
#: Makes the median of absolute deviations the standard deviation of a normal distribution.
_MAD_TO_DEVIATION = 1.4826

Floats = NDArray[np.float64]


class Distribution(Protocol):
    """How `count` scores, float32, lie."""

    @property
    def count(self) -> int: ...

    @property
    def sums(self) -> ExactSums: ...

    def below(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """How many scores are lower than each value."""

    def upto(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """How many scores are not higher than each value."""

    def order(self, ranks: NDArray[np.int64]) -> NDArray[np.float32]:
        """The scores that so many others are before, in ascending order."""

    def order_distances(self, center: float, ranks: NDArray[np.int64]) -> Floats:
        """The same of the scores' distances |score - center|, taken in float64."""


def quantile_ranks(count: int) -> NDArray[np.int64]:
    """Places in the order of the scores that quantiles lie between, ascending, the ends among them."""
    lower = [int((count - 1) * share) for share in QUANTILES.values()]
    return np.unique([0, *lower, *(min(rank + 1, count - 1) for rank in lower), *middle_ranks(count), count - 1])


def middle_ranks(count: int) -> NDArray[np.int64]:
    """The two places, or one twice, whose mean is the median."""
    return np.array([(count - 1) // 2, count // 2])


def median(scores: Distribution) -> float:
    """Of all scores, in float64."""
    return float(scores.order(middle_ranks(scores.count)).astype(np.float64).mean())


def percentiles(scores: Distribution, values: NDArray[np.float32]) -> Floats:
    """Share of the other rows with a lower score than each of some, in 0..100, both ends included."""
    return np.multiply(scores.below(values), 100.0 / max(scores.count - 1, 1), dtype=np.float64)


def readable_scales(scores: Distribution, values: NDArray[np.float32]) -> tuple[Floats, Floats | None]:
    """Some scores (r,) on scales that people can read.

    First as a share of the largest size of all, in -1..1; then as robust z: the distance from the median in robust
    standard deviations (1.4826 times the median absolute deviation), None where most scores are alike.
    """
    known = np.asarray(values, np.float64)
    largest = float(np.abs(scores.order(np.array([0, scores.count - 1])).astype(np.float64)).max())
    center = median(scores)
    spread = _MAD_TO_DEVIATION * float(scores.order_distances(center, middle_ranks(scores.count)).mean())
    shares = known / largest if largest > 0 else np.zeros(len(known))
    return shares, (known - center) / spread if spread > 0 else None


def histogram(scores: Distribution, bins: int = HISTOGRAM_BINS) -> Histogram:
    """Counts over equally wide bins from lowest to highest score; always `bins` of them.

    Scores that are all alike, or differ by less than their type can divide, get edges half a unit of their own
    size (at least 0.5) to either side.
    """
    low, high = scores.order(np.array([0, scores.count - 1])).tolist()
    edges = find_edges(low, high, bins)
    counts = np.diff([0, *scores.below(edges[1:-1]).tolist(), scores.count])
    return Histogram(hist=tuple(counts.tolist()), bin_edges=tuple(edges.tolist()))


def find_edges(low: float, high: float, bins: int = HISTOGRAM_BINS) -> NDArray[np.float32]:
    """Edges (bins + 1,) of a histogram of scores from lowest to highest."""
    if not high - low > bins * float(np.finfo(np.float32).eps) * max(abs(low), abs(high)):
        margin = max(0.5, abs(low) / 2)
        low, high = low - margin, high + margin
    return np.linspace(low, high, bins + 1).astype(np.float32)


def summarise(scores: Distribution) -> dict[str, float]:
    """Mean, std, min, max, quantiles (`QUANTILES`) and share of helpful rows in 0..1."""
    low, high = scores.order(np.array([0, scores.count - 1])).tolist()
    helpful = scores.count - int(scores.upto(np.zeros(1, np.float32))[0])
    return {
        "mean": scores.sums.mean,
        "std": scores.sums.deviation,
        "min": low,
        "max": high,
        **{name: _quantile(scores, share) for name, share in QUANTILES.items()},
        "share_helpful": helpful / scores.count,
    }


def _quantile(scores: Distribution, share: float) -> float:
    """Between two scores in proportion, as numpy's default does it."""
    place = (scores.count - 1) * share
    rank = int(place)
    lower, upper = scores.order(np.array([rank, min(rank + 1, scores.count - 1)])).astype(np.float64).tolist()
    return float(lower + (upper - lower) * (place - rank))
