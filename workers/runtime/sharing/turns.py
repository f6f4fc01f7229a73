"""How much is worked on at once: many small queries, for they share passes, and few of what takes memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from influence.compact.rerank import CANDIDATES_PER_RESULT
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest

#: What a small query may hold: 16 of them hold half a gigabyte.
SMALL_BYTES = 32 << 20
#: A row's score, and what ranking makes of it, for one test point.
_ROW_BYTES = 32
_NUMBER_BYTES = 4
#: Between two looks at whether the work is still wanted.
_LOOK_SECONDS = 0.2


class Turns:
    """So many pieces of large work at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait for a turn and hold it. Raises what `check` raises while waiting."""
        while not self._free.acquire(timeout=_LOOK_SECONDS):
            check()
        try:
            yield
        finally:
            self._free.release()


def is_small(request: QueryRequest, indexes: Sequence[Index]) -> bool:
    """Whether a query holds little: few test points, rows and gradients, of one index, and nothing beside scores."""
    has_more = len(indexes) > 1 or bool(request.compare) or bool(set(request.include) - {"blocks"})
    if has_more or (points := _count_points(request)) is None:
        return False
    (index,) = indexes
    ranked = 0 if request.exact is False or index.spec.storage == "full" else 2 * CANDIDATES_PER_RESULT * request.k
    gradients = (points + min(points * ranked, index.rows)) * (index.parameters or 0)
    return points * index.rows * _ROW_BYTES + gradients * _NUMBER_BYTES <= SMALL_BYTES


def _count_points(request: QueryRequest) -> int | None:
    """Test points of a request; None for all rows of a data set."""
    if request.examples is not None:
        return len(request.examples)
    return None if request.rows is None or request.rows.row_indexes is None else len(request.rows.row_indexes)
