"""What is known of the scores that another holds: how many lie below some values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Marks:
    """Different `values` (r,) float32, ascending, and how many scores are `below` and `upto` each (r,)."""

    values: NDArray[np.float32]
    below: Counts
    upto: Counts

    def join(self, other: "Marks") -> "Marks":
        """What is known by both of the same scores."""
        values, first = np.unique(np.concatenate([self.values, other.values]), return_index=True)
        below, upto = (np.concatenate(both)[first] for both in ((self.below, other.below), (self.upto, other.upto)))
        return Marks(values, below, upto)

    def bound(self, values: NDArray[np.float32], count: int) -> tuple[Counts, Counts, Counts, Counts]:
        """At ascending values (v,), of `count` scores: so many below at least and at most, and up to at least and at
        most."""
        after = np.searchsorted(self.values, values, side="right")
        is_mark = np.zeros(len(values), np.bool_)
        is_mark[after > 0] = self.values[after[after > 0] - 1] == values[after > 0]
        known = np.concatenate([[0], self.upto])[after]
        possible = np.concatenate([self.below, [count]])[after]
        own = np.concatenate([[0], self.below])[after]
        return (
            np.where(is_mark, own, known),
            np.where(is_mark, own, possible),
            known,
            np.where(is_mark, known, possible),
        )


def find_places(start: int, stop: int, count: int, ends: int) -> Counts:
    """About `count` places from start to stop, evenly, all of them where there are so few; `ends` more at either
    side."""
    if stop - start <= count + 2 * ends:
        return np.arange(start, stop)
    even = np.linspace(start, stop - 1, count).astype(np.int64)
    return np.unique(np.concatenate([np.arange(start, start + ends), even, np.arange(stop - ends, stop)]))
