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
        distances = np.abs(self.ascending - np.float64(center))
        return np.partition(distances, np.unique(ranks))[ranks]

    def mark(self, low: float, high: float, count: int, ends: int = 0) -> Marks:
        """Marks at `low`, at `high` and at about `count` of the scores between, all of them where there are so few;
        `ends` more at either side."""
        start = int(np.searchsorted(self.ascending, np.float32(low), side="right"))
        stop = int(np.searchsorted(self.ascending, np.float32(high), side="left"))
        chosen = self.ascending[find_places(start, stop, count, ends)]
        bounds = np.array([bound for bound in (low, high) if np.isfinite(bound)], np.float32)
        values = np.unique(np.concatenate([chosen, bounds]))
        return Marks(values, self.below(values), self.upto(values))
