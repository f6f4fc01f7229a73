"""A page of rows in the order of a column."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.ranking.order import lowest_rows

Positions = NDArray[np.int64]


def sort_slice(values: NDArray[Any], positions: Positions, *, descending: bool, offset: int, length: int) -> Positions:
    """Positions offset .. offset + length of those given, sorted by `values` (n,); equal values in row order."""
    stop = min(offset + length, len(positions))
    if offset >= stop:
        return positions[:0]
    chosen = values[positions]
    return positions[lowest_rows(-chosen if descending else chosen, stop)[offset:]]


def rank_slice(
    ranks: NDArray[np.int32], positions: Positions, *, descending: bool, offset: int, length: int
) -> Positions:
    """As `sort_slice`, by ranks of a column, of which 0 says that there is no value: such rows come last either way."""
    none = ranks[positions] == 0
    known, unknown = positions[~none], positions[none]
    first = sort_slice(ranks, known, descending=descending, offset=offset, length=length)
    rest = max(0, offset - len(known))
    return np.concatenate([first, unknown[rest : rest + length - len(first)]])
