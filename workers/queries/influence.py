"""Influence of training rows as a weighted sum over a query's parts; most queries have one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import QueryRequest
from influence.errors import RowsUnfit
from workers.indexes.open import score_all_points
from workers.queries.opened import Parts


@dataclass(frozen=True)
class Influence:
    """`values` (m, n) float32 of the data set rows `row_indexes` (n,), ascending, that every part has."""

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


def sum_influence(parts: Parts, request: QueryRequest) -> Influence:
    """`sum_c weight_c influence_c`, each part by its own test gradients."""
    total: Influence | None = None
    for part in parts.all:
        opened = parts.open(part)
        with parts.watch.phase("score"):
            values = score_all_points(opened.hot.scorer(request.method, request.damping_scale), opened.points.gradients)
            found = Influence(opened.hot.row_indexes, values if part.weight == 1 else values * np.float32(part.weight))
            total = found if total is None else total + found
    assert total is not None
    return total
