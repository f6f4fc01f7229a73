"""All scores of a test point, held at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from influence.ranking.exact_sums import ExactSums, sum_exactly
from influence.ranking.marks import Marks, find_places


@dataclass(frozen=True)
class HeldScores:
    """Scores (n,) float32 in ascending order, at least one; see `Distribution`."""

    ascending: NDArray[np.float32]

    @classmethod
    def of(cls, scores: NDArray[np.floating]) -> "HeldScores":
        """Of scores (n,) in any order, rounded to float32."""
        return cls(np.sort(np.asarray(scores, np.float32)))

    @property
    def count(self) -> int:
        return len(self.ascending)

    @cached_property
    def sums(self) -> ExactSums:
        return sum_exactly(self.ascending)

    def below(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.searchsorted(self.ascending, values, side="left")

    def upto(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.searchsorted(self.ascending, values, side="right")

    def order(self, ranks: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.ascending[ranks]

    def order_distances(self, center: float, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        split = int(_count_below(self.ascending, center))
        return np.array([self._find_distance(center, split, int(rank)) for rank in ranks])

    def _find_distance(self, center: float, split: int, rank: int) -> float:
        """The distance of a rank: on either side of the center, which begins at a place, distances grow outwards, so
        halving finds how many of the nearest lie before it."""

        def before(count: int) -> float:
            return center - float(self.ascending[split - count])

        def after(count: int) -> float:
            return float(self.ascending[split + count - 1]) - center

        nearest, rest = rank + 1, self.count - split
        low, high = max(0, nearest - rest), min(nearest, split)
        while low < high:
            middle = (low + high) // 2
            if before(middle + 1) < after(nearest - middle):
                low = middle + 1
            else:
                high = middle
        found = [before(low)] if low else []
        return max([*found, after(nearest - low)] if low < nearest else found)

    def mark(self, low: float, high: float, count: int, ends: int = 0) -> Marks:
        """Marks at `low`, at `high` and at about `count` of the scores between, all of them where there are so few;
        `ends` more at either side."""
        start = int(np.searchsorted(self.ascending, np.float32(low), side="right"))
        stop = int(np.searchsorted(self.ascending, np.float32(high), side="left"))
        chosen = self.ascending[find_places(start, stop, count, ends)]
        bounds = np.array([bound for bound in (low, high) if np.isfinite(bound)], np.float32)
        values = np.unique(np.concatenate([chosen, bounds]))
        return Marks(values, self.below(values), self.upto(values))


def _count_below(ascending: NDArray[np.float32], center: float) -> int:
    """How many are below a float64: compared as float64, without a copy of all."""
    nearest = np.float32(center)
    return int(np.searchsorted(ascending, nearest, side="right" if float(nearest) < center else "left"))
