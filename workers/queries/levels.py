"""How much the rows of an answer stand out: by scores of test points that they have nothing to do with."""

import numpy as np
from numpy.typing import NDArray

from influence.auditing.levels import NULL_POINTS, Levels, fit_levels
from influence.contracts.index import Index
from workers.queries.scored.influence import Influence, Scored
from workers.queries.scored.opened import OpenedIndexes
from workers.runtime.open import open_rows
from workers.runtime.state import Runtime

#: Which rows are asked as null points: the same ones by every worker.
_SEED = 11


def find_levels(runtime: Runtime, indexes: OpenedIndexes, influence: Scored) -> Levels | None:
    """Levels of a query's scores, summed over its indexes as these are; None for an index of too few rows.

    Raises Cancelled, NonFiniteGradients.
    """
    rows = influence.row_indexes
    chosen = np.sort(np.random.default_rng(_SEED).permutation(rows)[: min(NULL_POINTS, len(rows) // 2)])
    total: Influence | None = None
    for opened in indexes.each_backwards():
        with indexes.watch.phase("levels"):
            part = Influence(opened.hot.row_indexes, opened.score_rows(chosen))
            total = part if total is None else total + part
    assert total is not None
    index = indexes.terms[0].index
    values = total.values[:, np.searchsorted(total.row_indexes, rows)]
    return fit_levels(np.where(_related(runtime, index, chosen, rows), np.nan, values))


def _related(runtime: Runtime, index: Index, points: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows (m, n) are a null point itself or have its content."""
    with open_rows(runtime, index.spec.dataset_id) as file:
        digests = np.ascontiguousarray(file.row_digests()).view("V16").ravel()
    found: NDArray[np.bool_] = digests[points][:, None] == digests[rows][None, :]
    return found
