"""An answer into the query's record: results that people read, all scores, and how long it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.methods.registry import find_method
from influence.store import keys
from workers.runtime import Runtime
from workers.scoring.rerank import Reranked
from workers.scoring.results import ResultBuilder, Scored
from workers.scoring.testpoints import TestPoints


class Stopwatch:
    """Milliseconds by phase."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase."""
        started = time.perf_counter()
        yield
        self.milliseconds[name] = round((time.perf_counter() - started) * 1000, 2)

    def finish(self) -> dict[str, float]:
        """All phases and their total."""
        self.milliseconds["total"] = round((time.perf_counter() - self._started) * 1000, 2)
        return self.milliseconds


def record_answer(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: Scored,
    points: TestPoints,
    influence: NDArray[np.float32],
    exact: Reranked | None,
    watch: Stopwatch,
    notes: tuple[str, ...],
    *,
    is_final: bool = True,
) -> None:
    """Write results and scores into the query's record; an answer from codes is there before the exact one."""
    with watch.phase("rank"):
        results = ResultBuilder(runtime, query, index, hot, exact).build(points, influence)
        runtime.store.scores.write(query.id, spread_rows(influence, hot.row_indexes, index.rows))
    method = find_method(query.request.method)
    damped = method.default_damping_scale is not None
    answer: Mapping[str, Any] = {
        "state": "succeeded" if is_final else "running", "results": tuple(results), "notes": notes,
        "rows_scored": influence.shape[1], "storage": index.spec.storage,
        "fidelity": None if method.is_baseline else index.fidelity, "milliseconds": watch.finish(),
        "damping_scale": method.damping_scale(query.request.damping_scale) if damped else None,
    }  # fmt: skip
    runtime.store.queries.update(query.id, lambda current: current.model_copy(update=answer))


def finish_query(runtime: Runtime, query: Query) -> None:
    """The answer stands: its lifetime begins, and whoever waits for the job is woken."""
    runtime.store.queries.expire(query.id, keys.QUERY_SECONDS)
    runtime.store.jobs.succeed(query.job_id)


def spread_rows(influence: NDArray[np.float32], row_indexes: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """Influence (m, rows of the data set): NaN where a row was left out of the index."""
    if influence.shape[1] == rows:
        return influence
    spread = np.full((len(influence), rows), np.nan, dtype=np.float32)
    spread[:, row_indexes] = influence
    return spread
