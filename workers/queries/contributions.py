"""What each block contributes to the exact influence of a few rows: summed over a query's indexes, backwards."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.queries.scored.influence import Positions, Scored
from workers.queries.scored.opened import OpenedIndexes


@dataclass(frozen=True)
class Contributions:
    """Of each of m test points: `positions` (r,) of some rows, and the blocks' parts (blocks, r) of their influence."""

    positions: Sequence[Positions]
    parts: Sequence[NDArray[np.float64]]

    def influence(self) -> NDArray[np.float32]:
        """Exact influence (m, r) where the positions are the same for all test points."""
        return np.stack([part.sum(axis=0) for part in self.parts]).astype(np.float32)

    def of(self, point: int, shown: Positions) -> dict[int, NDArray[np.float64]]:
        """The blocks' parts (blocks,) of the rows shown for a test point, as far as they are known, by position."""
        places = np.flatnonzero(np.isin(self.positions[point], shown))
        return {int(self.positions[point][place]): self.parts[point][:, place] for place in places}


def block_contributions(
    indexes: OpenedIndexes,
    influence: Scored,
    positions: Sequence[Positions],
    hear: Callable[[int], None] | None = None,
) -> Contributions:
    """Contributions to the rows at `positions`, given per test point.

    Exact for codes as for whole gradients. `hear` is told of rows whose gradients are computed. Raises Cancelled,
    NonFiniteGradients, and what `hear` raises.
    """
    blocks = len(indexes.terms[0].index.blocks)
    parts = [np.zeros((blocks, len(places))) for places in positions]
    for opened in indexes.each_backwards():
        with indexes.watch.phase("exact"):
            for points in _runs_of_same(positions):
                rows = influence.row_indexes[positions[points.start]]
                shares = opened.block_contributions(points, rows, hear)
                for place, point in enumerate(range(points.start, points.stop)):
                    parts[point] += shares[:, place]
    return Contributions(positions, parts)


def _runs_of_same(positions: Sequence[Positions]) -> Iterator[slice]:
    """Neighbouring test points that ask for the same rows: they are answered together."""
    start = 0
    for stop in range(1, len(positions) + 1):
        if stop == len(positions) or positions[stop] is not positions[start]:
            yield slice(start, stop)
            start = stop
