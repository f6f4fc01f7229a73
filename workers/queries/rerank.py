"""Which rows of codes are worth exact scores, and what those would take."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.compact.rerank import CANDIDATES_PER_RESULT
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest
from workers.queries.scored.influence import Positions, Scored
from workers.queries.scored.opened import IndexTerm
from workers.runtime.state import Runtime

#: `exact: auto` re-ranks when this is enough.
AUTO_SECONDS = 1.0
#: And stops when it turns out to take so many times as long.
_SLACK = 2.0


class TooSlow(Exception):
    """Gradients take longer than was estimated. `done` rows were computed; all would take about `seconds`."""

    def __init__(self, done: int, seconds: float) -> None:
        super().__init__(f"{done} rows done, {seconds:.1f} s in all")
        self.done = done
        self.seconds = seconds


class Patience:
    """Hears of rows whose gradients are computed, `total` in all. Raises TooSlow once they have taken longer than
    `exact: auto` waits and all of them would take much longer."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._begun = time.monotonic()

    def hear(self, rows: int) -> None:
        """So many more rows are done."""
        self._done += rows
        elapsed = time.monotonic() - self._begun
        seconds = elapsed * self._total / max(self._done, 1)
        if self._done < self._total and elapsed > AUTO_SECONDS and seconds > _SLACK * AUTO_SECONDS:
            raise TooSlow(self._done, seconds)


def candidates_of(request: QueryRequest, influence: Scored) -> Positions:
    """Positions worth an exact score: the first of every test point's rankings."""
    return influence.choose_candidates(CANDIDATES_PER_RESULT * request.k)


def is_asked_for(request: QueryRequest) -> bool:
    """Whether a query asks for exact scores however long they take: parts of tokens are those of exact ones."""
    return request.exact is True or "tokens" in request.include


def is_wanted(request: QueryRequest, seconds: float) -> bool:
    """Whether a query asks for exact scores that should take so long."""
    return is_asked_for(request) or (request.exact == "auto" and seconds < AUTO_SECONDS)


def estimate_seconds(runtime: Runtime, terms: Sequence[IndexTerm], row_indexes: NDArray[np.int64]) -> float:
    """How long the rows' gradients would take under every compact index; those kept hot take nothing."""
    return sum(
        count / _rate(runtime, index) for index, count in _count_missing(runtime, terms, row_indexes) if count > 0
    )


def count_missing(runtime: Runtime, terms: Sequence[IndexTerm], row_indexes: NDArray[np.int64]) -> int:
    """How many gradients would have to be computed, of all compact indexes together."""
    return sum(count for _, count in _count_missing(runtime, terms, row_indexes))


def _count_missing(
    runtime: Runtime, terms: Sequence[IndexTerm], row_indexes: NDArray[np.int64]
) -> list[tuple[Index, int]]:
    compact = [term.index for term in terms if term.index.spec.storage == "compact"]
    return [(index, len(runtime.gradient_cache.missing(index, row_indexes.tolist()))) for index in compact]


def _rate(runtime: Runtime, index: Index) -> float:
    """Gradients per second: as this worker computed the index's last ones, or as they were for the index."""
    return runtime.gradient_cache.rate(index) or index.rows_per_second or 1.0
