"""A query from message to stored answer."""

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.errors import IndexNotReady
from influence.methods.baselines import Baseline
from influence.methods.registry import find_method
from workers.models import HotModel
from workers.runtime import Runtime
from workers.scoring.baseline import answer_baseline
from workers.scoring.full import FullIndex
from workers.scoring.loading import GradientIndex, load_hot, score_gradients
from workers.scoring.recording import Stopwatch, finish_query, record_answer
from workers.scoring.rerank import AUTO_SECONDS, Reranked, candidates_of, estimate_seconds, rerank
from workers.scoring.testpoints import TestPoints, make_test_points, take

#: Test points scored in one pass; bounds what a pass holds in memory.
_POINTS_PER_PASS = 32
#: Note of an answer from codes that an exact one will replace.
_PRELIMINARY = "Exact scores are being computed."


def answer_query(runtime: Runtime, query: Query) -> None:
    """Score the query's test points and store results and scores. Safe to run twice."""
    watch = Stopwatch()
    index = runtime.store.indexes.require(query.index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    method = find_method(query.request.method, index.spec.storage)
    with watch.phase("load_model"):
        checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
        model = runtime.models.get(checkpoint, index.spec.gradients)
    if isinstance(method, Baseline):
        answer_baseline(runtime, query, index, model, method, watch)
        return
    with watch.phase("load_index"):
        hot = load_hot(runtime, index, query.job_id)
    with watch.phase("test_gradients"):
        points = make_test_points(runtime, query, model)
    with watch.phase("score"):
        points = points.mean() if query.request.aggregate == "mean" else points
        influence = score_points(hot, query, points)
    exact, notes = _rerank(runtime, query, index, hot, model, points, influence, watch)
    record_answer(runtime, query, index, hot, points, influence, exact, watch, notes)
    finish_query(runtime, query)


def score_points(hot: GradientIndex, query: Query, points: TestPoints) -> NDArray[np.float32]:
    """Influence (m, n) float32 of all rows."""
    method, damping_scale = query.request.method, query.request.damping_scale
    parts = []
    for start in range(0, len(points.rows), _POINTS_PER_PASS):
        test = take(points.gradients, start, start + _POINTS_PER_PASS)
        parts.append(score_gradients(hot, method, damping_scale, test))
    return np.concatenate(parts)


def _rerank(
    runtime: Runtime,
    query: Query,
    index: Index,
    hot: GradientIndex,
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
        record_answer(
            runtime, query, index, hot, points, influence, None, watch, (_PRELIMINARY,), is_final=False
        )  # fmt: skip
    runtime.store.jobs.set_phase(query.job_id, "exact scores", total=len(candidates))
    with watch.phase("exact"):
        exact = rerank(runtime, query, index, hot, model, points, candidates)
        influence[:, candidates] = exact.exact_influence()
    return exact, ()
