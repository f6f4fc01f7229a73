"""Influence of training rows on test points, and its sum over a query's indexes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.errors import RowsUnfit


@dataclass(frozen=True)
class Influence:
    """`values` (m, n) float32 of the data set rows `row_indexes` (n,), ascending, that every index has."""

    row_indexes: NDArray[np.int64]
    values: NDArray[np.float32]

    def __add__(self, other: "Influence") -> "Influence":
        """The sum over rows that both have: one that either left out has none. Raises RowsUnfit without any."""
        common, mine, theirs = np.intersect1d(
            self.row_indexes, other.row_indexes, assume_unique=True, return_indices=True
        )
        if not len(common):
            raise RowsUnfit("No row is in all of these indexes.", hint="Sum over indexes that left out fewer rows.")
        return Influence(common, self.values[:, mine] + other.values[:, theirs])
