"""Which rows of codes are worth exact scores, and what those would take."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.compact.rerank import choose_candidates
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest
from workers.queries.contributions import Positions
from workers.queries.influence import Influence
from workers.queries.opened import IndexTerm
from workers.runtime.state import Runtime

#: Candidates per direction for each row asked for.
CANDIDATES_PER_RESULT = 4
#: `exact: auto` re-ranks when this is enough.
AUTO_SECONDS = 1.0


def candidates_of(request: QueryRequest, influence: Influence) -> Positions:
    """Positions worth an exact score: the first of every test point's rankings."""
    return choose_candidates(influence.values.astype(np.float64), CANDIDATES_PER_RESULT * request.k)


def is_wanted(request: QueryRequest, seconds: float) -> bool:
    """Whether a query asks for exact scores that take so long: parts of tokens are those of exact ones."""
    return request.exact is True or "tokens" in request.include or (request.exact == "auto" and seconds < AUTO_SECONDS)


def estimate_seconds(runtime: Runtime, terms: Sequence[IndexTerm], row_indexes: NDArray[np.int64]) -> float:
    """How long the rows' gradients would take under every compact index; those kept hot take nothing."""
    return sum(_seconds(runtime, term.index, row_indexes) for term in terms if term.index.spec.storage == "compact")


def _seconds(runtime: Runtime, index: Index, row_indexes: NDArray[np.int64]) -> float:
    missing = runtime.gradient_cache.missing(index, row_indexes.tolist())
    rate = (index.estimate or {}).get("rows_per_second") or (index.timings or {}).get("rows_per_second") or 1.0
    return len(missing) / float(rate)
