"""A query from message to stored answer."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import IndexNotReady
from influence.methods.registry import get_method
from influence.store import keys
from workers.models import HotModel
from workers.runtime import Runtime
from workers.scoring.compact import CompactIndex, load_compact_index
from workers.scoring.full import FullIndex, load_full_index
from workers.scoring.rerank import AUTO_SECONDS, Reranked, candidates_of, estimate_seconds, rerank
from workers.scoring.results import ResultBuilder
from workers.scoring.testpoints import TestPoints, make_test_points, take

#: Test points scored in one pass; bounds what a pass holds in memory.
_POINTS_PER_PASS = 32
#: Note of an answer from codes that an exact one will replace.
_PRELIMINARY = "Exact scores are being computed."


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
    watch = Stopwatch()
    index = runtime.store.indexes.require(query.index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    get_method(query.request.method, index.spec.storage)
    with watch.phase("load_model"):
        checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
        model = runtime.models.get(checkpoint, index.spec.gradients)
    with watch.phase("load_index"):
        hot = load_hot(runtime, index, query.job_id)
    with watch.phase("test_gradients"):
        points = make_test_points(runtime, query, model)
    with watch.phase("score"):
        points = points.mean() if query.request.aggregate == "mean" else points
        influence = score_points(hot, query, points)
    exact, notes = _rerank(runtime, query, index, hot, model, points, influence, watch)
    _store(runtime, query, index, hot, points, influence, exact, watch, notes)
    runtime.store.queries.expire(query.id, keys.QUERY_SECONDS)
    runtime.store.jobs.succeed(query.job_id)


def load_hot(runtime: Runtime, index: Index, job_id: str) -> FullIndex | CompactIndex:
    """The index in memory, with progress of the job while it is loaded."""
    load_index = load_full_index if index.spec.storage == "full" else load_compact_index

    def load() -> FullIndex | CompactIndex:
        runtime.store.jobs.set_phase(job_id, "loading index", total=index.rows_indexed or index.rows)
        return load_index(runtime, index, lambda rows: runtime.store.jobs.set_done(job_id, rows))

    return runtime.hot_indexes.get(index.id, load)


def score_points(hot: FullIndex | CompactIndex, query: Query, points: TestPoints) -> NDArray[np.float32]:
    """Influence (m, n) float32 of all rows."""
    method, damping_scale = query.request.method, query.request.damping_scale
    parts = []
    for start in range(0, len(points.rows), _POINTS_PER_PASS):
        test = take(points.gradients, start, start + _POINTS_PER_PASS)
        if isinstance(hot, FullIndex):
            parts.append(hot.score(method, damping_scale, test))
        else:
            parts.append(hot.score(method, damping_scale, list(test.values())))
    return np.concatenate(parts)


def _rerank(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: FullIndex | CompactIndex,
    model: HotModel,
    points: TestPoints,
    influence: NDArray[np.float32],
    watch: Stopwatch,
) -> tuple[Reranked | None, tuple[str, ...]]:
    """Replace the candidates' scores in `influence` by exact ones where that is wanted; says so where it is not."""
    if isinstance(hot, FullIndex):
        return None, ()
    candidates = candidates_of(query, influence)
    seconds = estimate_seconds(runtime, index, hot, candidates)
    wanted = query.request.exact is True or (query.request.exact == "auto" and seconds < AUTO_SECONDS)
    if not wanted:
        return None, (
            f"Scores come from codes; exact scores of {len(candidates)} rows would take about {seconds:.1f} s: "
            "send exact true.",
        )
    if seconds > AUTO_SECONDS:
        _store(runtime, query, index, hot, points, influence, None, watch, (_PRELIMINARY,), is_final=False)
    runtime.store.jobs.set_phase(query.job_id, "exact scores", total=len(candidates))
    with watch.phase("exact"):
        exact = rerank(runtime, query, index, hot, model, points, candidates)
        influence[:, candidates] = exact.exact_influence()
    return exact, ()


def _store(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: FullIndex | CompactIndex,
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
    method = get_method(query.request.method)
    damped = method.default_damping_scale is not None
    answer: Mapping[str, Any] = {
        "state": "succeeded" if is_final else "running", "results": tuple(results), "notes": notes,
        "rows_scored": influence.shape[1], "storage": index.spec.storage, "fidelity": index.fidelity,
        "milliseconds": watch.finish(),
        "damping_scale": method.damping_scale(query.request.damping_scale) if damped else None,
    }  # fmt: skip
    runtime.store.queries.update(query.id, lambda current: current.model_copy(update=answer))


def spread_rows(influence: NDArray[np.float32], row_indexes: NDArray[np.int64], rows: int) -> NDArray[np.float32]:
    """Influence (m, rows of the data set): NaN where a row was left out of the index."""
    if influence.shape[1] == rows:
        return influence
    spread = np.full((len(influence), rows), np.nan, dtype=np.float32)
    spread[:, row_indexes] = influence
    return spread
