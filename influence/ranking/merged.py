"""All scores of a test point, of which many hold parts: what each said of its own, and what has to be asked yet.

Of each mark two things are known: so many scores at most are below it, and so many at least up to it. The score of a
rank between those two numbers is the mark; else the marks around it say where to look closer. What is looked at is cut
into so many pieces each time that a round or two find any score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from influence.ranking.exact_sums import ExactSums, sum_exactly
from influence.ranking.marks import Bounds, Counts, Marks
from influence.ranking.statistics import find_edges, middle_ranks, quantile_ranks

#: Gaps between marks that are asked about one by one.
_MOST_GAPS = 4

#: From a value to a value.
Interval = tuple[float, float]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Replaced:
    """Scores that others stand for, and those: ascending."""

    old: Values
    new: Values

    @classmethod
    def of(cls, old: Values, new: Values) -> "Replaced":
        return cls(np.sort(old), np.sort(new))

    @property
    def sums(self) -> ExactSums:
        """What comes to the sums."""
        return sum_exactly(self.new) - sum_exactly(self.old)

    def below(self, values: Values) -> Counts:
        """What comes to the counts below each value."""
        return np.searchsorted(self.new, values) - np.searchsorted(self.old, values)

    def upto(self, values: Values) -> Counts:
        """What comes to the counts up to each value."""
        return np.searchsorted(self.new, values, "right") - np.searchsorted(self.old, values, "right")


class Unknown(LookupError):
    """It has to be asked before it is read: a mistake of the caller's."""


@dataclass(frozen=True)
class MergedScores:
    """`parts` say what is known of `counts` scores each; `part_sums` are all their sums. See `Distribution`.

    Each of `order`, `below`, ... raises Unknown for what `missing` would name.
    """

    parts: Sequence[Marks]
    counts: Sequence[int]
    part_sums: ExactSums
    replaced: Replaced = field(default_factory=lambda: Replaced(np.empty(0, np.float32), np.empty(0, np.float32)))

    @property
    def count(self) -> int:
        return sum(self.counts)

    @cached_property
    def sums(self) -> ExactSums:
        return self.part_sums + self.replaced.sums

    @cached_property
    def _values(self) -> Values:
        return np.unique(np.concatenate([*(part.values for part in self.parts), self.replaced.old, self.replaced.new]))

    @cached_property
    def _joined(self) -> Bounds:
        return Bounds(self.parts, self.counts)

    @cached_property
    def _bounds(self) -> tuple[Counts, Counts, Counts, Counts]:
        """At least and at most so many below each of `_values`, at least and at most so many up to it."""
        return self._bound(self._values)

    def _bound(self, values: Values) -> tuple[Counts, Counts, Counts, Counts]:
        least_below, most_below, least_upto, most_upto = self._joined.at(values)
        below, upto = self.replaced.below(values), self.replaced.upto(values)
        return least_below + below, most_below + below, least_upto + upto, most_upto + upto

    def below(self, values: Values) -> Counts:
        return self._exactly(values, 0)

    def upto(self, values: Values) -> Counts:
        return self._exactly(values, 2)

    def _exactly(self, values: Values, kind: int) -> Counts:
        levels, places = np.unique(values, return_inverse=True)
        bounds = self._bound(levels)
        if not np.array_equal(bounds[kind], bounds[kind + 1]):
            raise Unknown
        return bounds[kind][places]

    def order(self, ranks: Counts) -> Values:
        found = [self._find(int(rank)) for rank in ranks]
        if any(low != high for low, high in found):
            raise Unknown
        return self._values[[low for low, _ in found]]

    def _find(self, rank: int) -> tuple[int, int]:
        """Places among `_values` that the score of a rank lies between, both included."""
        _, most_below, least_upto, _ = self._bounds
        return int(np.flatnonzero(most_below <= rank)[-1]), int(np.argmax(least_upto > rank))

    def order_distances(self, center: float, ranks: Counts) -> NDArray[np.float64]:
        distances = _Distances(self._values, center, *self._bounds)
        found = [distances.find(int(rank)) for rank in ranks]
        if any(low != high for low, high in found):
            raise Unknown
        return distances.sizes[[low for low, _ in found]]

    def missing(self, levels: Values) -> list[Interval]:
        """Where the parts have to look closer for all that people read of the scores, and for the counts below some
        `levels`; nothing once all of it is known."""
        ranks = quantile_ranks(self.count)
        found = {int(rank): self._find(int(rank)) for rank in ranks}
        wanted = [one for low, high in found.values() if low != high for one in self._closer(low, high)]
        (first, last), points = (found[int(rank)] for rank in (ranks[0], ranks[-1])), [levels, np.zeros(1, np.float32)]
        if first[0] == first[1] and last[0] == last[1]:
            points.append(find_edges(float(self._values[first[0]]), float(self._values[last[0]])))
        wanted += self._unknown_at(np.unique(np.concatenate(points)))
        return [*dict.fromkeys(wanted + self._around_middle([found[int(rank)] for rank in middle_ranks(self.count)]))]

    def _closer(self, low: int, high: int) -> list[Interval]:
        """Where between two of the values the parts may have scores that are not known: each gap, or one stretch from
        the first to the last where there are many."""
        _, most_below, least_upto, _ = self._bounds
        low, high = max(low, 0), min(high, len(self._values) - 1)
        gaps = low + np.flatnonzero(most_below[low + 1 : high + 1] > least_upto[low:high])
        if len(gaps) > _MOST_GAPS:
            return [(float(self._values[gaps[0]]), float(self._values[gaps[-1] + 1]))]
        return [(float(self._values[gap]), float(self._values[gap + 1])) for gap in gaps]

    def _unknown_at(self, values: Values) -> list[Interval]:
        bounds = self._bound(values)
        is_known = (bounds[0] == bounds[1]) & (bounds[2] == bounds[3])
        return [(float(value), float(value)) for value in values[~is_known]]

    def _around_middle(self, middle: Sequence[tuple[int, int]]) -> list[Interval]:
        """Where the median of the distances from the median may lie, for each median that there may be."""
        (low, _), (_, high) = middle[0], middle[-1]
        values = self._values[[low, high]].astype(np.float64)
        is_known = all(places[0] == places[1] for places in middle)
        centers = [float(values.mean())] if is_known else values.tolist()
        wanted: list[Interval] = []
        for center in centers:
            distances = _Distances(self._values, center, *self._bounds)
            for rank in middle_ranks(self.count):
                places = distances.find(int(rank))
                if not is_known or places[0] != places[1]:
                    wanted += [one for stretch in distances.shell(*places) for one in self._closer(*stretch)]
        return wanted


class _Distances:
    """Distances of scores from a center, by what is known of the scores at `values` (v,): a distance is reached by all
    between two of these."""

    def __init__(
        self,
        values: Values,
        center: float,
        least_below: Counts,
        most_below: Counts,
        least_upto: Counts,
        most_upto: Counts,
    ) -> None:
        sizes = np.abs(values.astype(np.float64) - center)
        self.sizes = np.unique(sizes)
        split = int(np.searchsorted(values.astype(np.float64), center))
        self._first = split - np.searchsorted(sizes[:split][::-1], self.sizes, side="right")
        self._last = split - 1 + np.searchsorted(sizes[split:], self.sizes, side="right")
        is_any = self._first <= self._last
        least = least_upto[self._last] - most_below[np.minimum(self._first, len(values) - 1)]
        self._least = np.where(is_any, least, 0)
        # Strictly nearer than a size are at most those between the marks that are not, and so those of the size before.
        below, above = np.concatenate([[0], least_upto]), np.concatenate([most_below, [most_upto[-1]]])
        reached = above[self._last + 1] - below[self._first]
        self._most_nearer = np.concatenate([[above[split] - below[split]], reached[:-1]])

    def find(self, rank: int) -> tuple[int, int]:
        """Places among `sizes` that the distance of a rank lies between, both included; -1 is before the first."""
        low = np.flatnonzero(self._most_nearer <= rank)
        return int(low[-1]) if len(low) else -1, int(np.argmax(self._least > rank))

    def shell(self, low: int, high: int) -> list[tuple[int, int]]:
        """Places among the values that scores of these distances lie between, either side of the center."""
        outer = int(self._first[high]) - 1, int(self._last[high]) + 1
        if low <= 0:
            return [outer]
        inner = low - 1
        return [(outer[0], int(self._first[inner])), (int(self._last[inner]), outer[1])]
