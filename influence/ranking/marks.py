"""What is known of the scores that another holds: how many lie below some values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


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


class Bounds:
    """What the marks of many parts of some scores, of which each holds so many, tell of all of them together.

    All marks stand in one order; what each adds to the counts at a value is added up once, however many parts there
    are.
    """

    def __init__(self, parts: Sequence[Marks], counts: Sequence[int]) -> None:
        values = np.concatenate([part.values for part in parts])
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        self._fewest = sum(
            int(part.below[0]) if len(part.values) else count for part, count in zip(parts, counts, strict=True)
        )
        below, upto = (np.concatenate(one) for one in ([part.below for part in parts], [part.upto for part in parts]))
        # Of the same part: so many up to the mark before, so many below the next.
        before = np.concatenate([np.concatenate([[0], part.upto])[:-1] for part in parts])
        after = np.concatenate(
            [np.concatenate([part.below, [count]])[1:] for part, count in zip(parts, counts, strict=True)]
        )
        sums = (upto - before, after - below, below - before, upto - after)
        self._up, self._down, self._own_below, self._own_upto = (_add_up(one[order]) for one in sums)

    def at(self, values: NDArray[np.float32]) -> tuple[Counts, Counts, Counts, Counts]:
        """At values (v,): so many below at least and at most, and up to at least and at most."""
        left, right = (np.searchsorted(self._values, values, side=side) for side in _SIDES)
        return (
            self._up[left] + self._own_below[right] - self._own_below[left],
            self._fewest + self._down[left],
            self._up[right],
            self._fewest + self._down[right] + self._own_upto[right] - self._own_upto[left],
        )


def _add_up(steps: Counts) -> Counts:
    return np.concatenate([[0], np.cumsum(steps)])


def find_places(start: int, stop: int, count: int, ends: int) -> Counts:
    """About `count` places from start to stop, evenly, all of them where there are so few; `ends` more at either
    side."""
    if stop - start <= count + 2 * ends:
        return np.arange(start, stop)
    # One place is the middle: from the first, halving would go through all of them.
    even = (np.linspace(start, stop - 1, count) if count > 1 else np.array([(start + stop) // 2])).astype(np.int64)
    return np.unique(np.concatenate([np.arange(start, start + ends), even, np.arange(stop - ends, stop)]))
