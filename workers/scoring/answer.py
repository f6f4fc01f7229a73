"""A query from message to stored answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import IndexNotReady
from influence.methods.registry import get_method
from influence.store import keys
from workers.runtime import Runtime
from workers.scoring.hot import HotIndex
from workers.scoring.load import load_full_index
from workers.scoring.results import ResultBuilder
from workers.scoring.testpoints import TestPoints, make_test_points, take

#: Test points scored in one pass; bounds the (m, n) scores in memory.
_POINTS_PER_PASS = 32


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


def answer_query(runtime: Runtime, query: Query) -> None:
    """Score the query's test points and store results and scores. Safe to run twice."""
    if query.results is not None:
        return
    watch = Stopwatch()
    index = runtime.store.indexes.require(query.index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    with watch.phase("load_model"):
        checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
        model = runtime.models.get(checkpoint, index.spec.gradients)
    with watch.phase("load_index"):
        hot = load_hot(runtime, index, query.job_id)
    with watch.phase("test_gradients"):
        points = make_test_points(runtime, query, model)
    with watch.phase("score"):
        scored = points.mean() if query.request.aggregate == "mean" else points
        influence = score_points(hot, query, scored)
    _store(runtime, query, index, hot, scored, influence, watch)


def load_hot(runtime: Runtime, index: Index, job_id: str) -> HotIndex:
    """The index in memory, with progress while it is loaded."""

    def load() -> HotIndex:
        runtime.store.jobs.set_phase(job_id, "loading index", total=index.rows_indexed or index.rows)
        return load_full_index(runtime, index, lambda rows: runtime.store.jobs.set_done(job_id, rows))

    return runtime.hot_indexes.get(index.id, load)


def score_points(hot: HotIndex, query: Query, points: TestPoints) -> NDArray[np.float32]:
    """Influence (m, n) float32 of all rows."""
    method = get_method(query.request.method)
    parts = []
    for start in range(0, len(points.rows), _POINTS_PER_PASS):
        test = take(points.gradients, start, start + _POINTS_PER_PASS)
        scores = hot.score(method, query.request.damping_scale, test)
        parts.append(scores.influence.float().cpu().numpy())
    return np.concatenate(parts)


def _store(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: HotIndex,
    points: TestPoints,
    influence: NDArray[np.float32],
    watch: Stopwatch,
) -> None:
    with watch.phase("rank"):
        results = ResultBuilder(runtime, query, index, hot).build(points, influence)
        runtime.store.scores.write(query.id, spread_rows(influence, hot.row_indexes, index.rows))
    method = get_method(query.request.method)
    damped = method.default_damping_scale is not None
    runtime.store.queries.update(
        query.id,
        lambda current: current.model_copy(
            update={
                "state": "succeeded", "results": tuple(results), "rows_scored": influence.shape[1],
                "storage": index.spec.storage, "fidelity": index.fidelity, "milliseconds": watch.finish(),
                "damping_scale": method.damping_scale(query.request.damping_scale) if damped else None,
            }
        ),
    )  # fmt: skip
    runtime.store.queries.expire(query.id, keys.QUERY_SECONDS)
    runtime.store.jobs.succeed(query.job_id)


def spread_rows(influence: NDArray[np.float32], row_indexes: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """Influence (m, rows of the data set): NaN where a row was left out of the index."""
    if influence.shape[1] == rows:
        return influence
    spread = np.full((len(influence), rows), np.nan, dtype=np.float32)
    spread[:, row_indexes] = influence
    return spread
