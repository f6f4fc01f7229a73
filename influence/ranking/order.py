"""From influence to scores, and the first of them. numpy only.

One convention: `score = -influence`, a positive score is helpful (training on the row lowered the test loss).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import Direction, Order
from influence.errors import InvalidRequest

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]

#: Values of which the lowest is taken first: all that is done of so many takes 0.5 ns per value, a partition of all 2.
_STRETCH = 512


def _no_rows() -> Rows:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Row indexes, best first, of the orders that were asked for; the others are empty."""

    helpful: Rows = field(default_factory=_no_rows)
    harmful: Rows = field(default_factory=_no_rows)
    absolute: Rows = field(default_factory=_no_rows)


def scores_of(influence: Floats) -> Floats:
    """`-influence`, without a negative zero."""
    return 0.0 - influence


def direction_of(score: float) -> Direction:
    """The truth about one row, whichever list it stands in: a score of zero helped nobody."""
    return "helpful" if score > 0 else "harmful"


def rank_rows(scores: Floats, k: int, order: Order) -> Ranking:
    """The k first rows (n,) by order: `helpful` highest score first, `harmful` lowest first, `absolute` largest
    size first, `both` the first two. Equal scores stand in row order. Raises InvalidRequest where k exceeds n.

    Of `both`, each list has only rows of its own direction, and may be shorter than k; an order by itself is a ranking
    of all rows.
    """
    if not 0 < k <= len(scores):
        raise InvalidRequest(
            f"k is {k}, but the index has {len(scores)} rows.", hint=f"Ask for a k from 1 to {len(scores)}."
        )
    if order == "absolute":
        return Ranking(absolute=lowest_rows(-np.abs(scores), k))
    helpful = lowest_rows(-scores, k) if order in ("helpful", "both") else _no_rows()
    harmful = lowest_rows(scores, k) if order in ("harmful", "both") else _no_rows()
    if order == "both":
        return Ranking(helpful=helpful[scores[helpful] > 0], harmful=harmful[scores[harmful] < 0])
    return Ranking(helpful=helpful, harmful=harmful)


def lowest_rows(values: Floats, k: int) -> Rows:
    """Indexes of the k lowest values, lowest first, ties in row order: O(n) plus a sort of k."""
    near = _find_near(values, k)
    found = values[near]
    threshold = np.partition(found, k - 1)[k - 1]
    below = np.flatnonzero(found < threshold)
    level = np.flatnonzero(found == threshold)[: k - len(below)]
    chosen = np.sort(np.concatenate([below, level]))
    order: Rows = near[chosen[np.argsort(found[chosen], kind="stable")]]
    return order


def _find_near(values: Floats, k: int) -> Rows:
    """Indexes, ascending, that the k lowest values are among, few where there are many values: no more than k stretches
    have a lowest value below the k-th of those."""
    whole = values[: len(values) // _STRETCH * _STRETCH].reshape(-1, _STRETCH)
    bound = np.partition(whole.min(1), k - 1)[k - 1] if len(whole) >= k else np.nan
    return np.arange(len(values)) if np.isnan(bound) else np.flatnonzero(values <= bound)
