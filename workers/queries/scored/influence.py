"""Influence of training rows on test points, and its sum over a query's indexes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from influence.compact.rerank import choose_candidates
from influence.contracts.query import Order
from influence.errors import RowsUnfit
from influence.ranking.held import HeldScores
from influence.ranking.order import Ranking, rank_rows, scores_of
from influence.ranking.statistics import Distribution
from influence.store.data.scores import QueryScores

#: Places among the scored rows, ascending.
Positions = NDArray[np.int64]
Floats = NDArray[np.float32]


class Scored(Protocol):
    """Influence of the data set rows `row_indexes` (n,), ascending, on `points` test points, wherever it lies."""

    @property
    def row_indexes(self) -> NDArray[np.int64]: ...

    @property
    def points(self) -> int: ...

    def choose_candidates(self, count: int) -> Positions:
        """Rows that any test point has among its `count` highest or lowest."""

    def replace(self, positions: Positions, influence: Floats) -> None:
        """Take better influence (m, c) of some rows in the place of what they had."""

    def rank(self, k: int, order: Order) -> list[Ranking]:
        """Each test point's k first rows, as `rank_rows` has them."""

    def describe(self, shown: Sequence[Positions]) -> Iterable[Distribution]:
        """How each test point's scores lie, for those who read of them what `statistics` tells, and counts below the
        scores of the rows shown."""

    def at(self, point: int, positions: Positions) -> Floats:
        """Influence (r,) of some rows of which `rank` spoke."""

    def keep(self, scores: QueryScores, query_id: str, rows: int) -> None:
        """Keep all of it for those who download it: of a data set of so many rows."""


@dataclass(frozen=True)
class Influence:
    """`values` (m, n) float32 of the data set rows `row_indexes` (n,), ascending, that every index has: all of it is
    here. See `Scored`."""

    row_indexes: NDArray[np.int64]
    values: Floats

    def __add__(self, other: "Influence") -> "Influence":
        """The sum over rows that both have: one that either left out has none. Raises RowsUnfit without any."""
        common, mine, theirs = np.intersect1d(
            self.row_indexes, other.row_indexes, assume_unique=True, return_indices=True
        )
        if not len(common):
            raise RowsUnfit("No row is in all of these indexes.", hint="Sum over indexes that left out fewer rows.")
        return Influence(common, self.values[:, mine] + other.values[:, theirs])

    @property
    def points(self) -> int:
        return len(self.values)

    def choose_candidates(self, count: int) -> Positions:
        return choose_candidates(self.values, count)

    def replace(self, positions: Positions, influence: Floats) -> None:
        self.values[:, positions] = influence

    def rank(self, k: int, order: Order) -> list[Ranking]:
        return [rank_rows(scores_of(values), k, order) for values in self.values]

    def describe(self, shown: Sequence[Positions]) -> Iterable[Distribution]:
        return (HeldScores.of(scores_of(values)) for values in self.values)

    def at(self, point: int, positions: Positions) -> Floats:
        return np.asarray(self.values[point, positions])

    def keep(self, scores: QueryScores, query_id: str, rows: int) -> None:
        scores.write(query_id, spread_rows(self.values, self.row_indexes, rows))


def hold(scored: Scored) -> Influence:
    """For what compares with all scores of a test point: who asks for that has them here (see `find_influence`)."""
    assert isinstance(scored, Influence)
    return scored


def spread_rows(influence: Floats, row_indexes: NDArray[np.int64], rows: int) -> Floats:
    """Influence (m, rows of the data set): NaN where a row was left out of the index."""
    if influence.shape[1] == rows:
        return influence
    spread = np.full((len(influence), rows), np.nan, dtype=np.float32)
    spread[:, row_indexes] = influence
    return spread
