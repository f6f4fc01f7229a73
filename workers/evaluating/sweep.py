"""A sweep from message to stored comparison: one pass over the index at every damping."""

import numpy as np
from numpy.typing import NDArray

from influence.contracts.sweep import Sweep
from influence.errors import Cancelled, DoesNotFit, IndexNotReady
from influence.evaluating.dampings import compare_dampings
from influence.methods.registry import get_offered
from influence.store import keys
from workers.evaluating.retraining import Judge, read_judge
from workers.queries.influence import score_all_points
from workers.queries.opened import AnyIndex, load_hot
from workers.queries.stopwatch import Stopwatch
from workers.queries.test_points import TestPoints, make_test_points
from workers.runtime.state import Runtime


def sweep_dampings(runtime: Runtime, sweep: Sweep) -> None:
    """Score the test points at every damping, compare, and store the result. Safe to run twice."""
    watch = Stopwatch()
    index = runtime.store.indexes.require(sweep.index_id)
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    get_offered(sweep.method, index.spec)
    with watch.phase("load_model"):
        model = runtime.models.get(runtime.store.checkpoints.require(index.spec.checkpoint_id), index.spec.gradients)
    with watch.phase("load_index"):
        hot = load_hot(runtime, index, sweep.job_id)
    with watch.phase("test_gradients"):
        points = make_test_points(runtime, sweep.request, model)
    _check_room(runtime, sweep, hot, points)
    judge = read_judge(runtime, sweep)
    with watch.phase("score"):
        influence, agreement = _score_all(runtime, sweep, hot, points, judge)
    with watch.phase("compare"):
        result = compare_dampings(influence, sweep.default_damping_scale, agreement)
    done = {"state": "succeeded", "result": result, "milliseconds": watch.finish()}
    runtime.store.sweeps.update(sweep.id, lambda current: current.model_copy(update=done))
    runtime.store.sweeps.expire(sweep.id, keys.QUERY_SECONDS)
    runtime.store.jobs.succeed(sweep.job_id)


def _check_room(runtime: Runtime, sweep: Sweep, hot: AnyIndex, points: TestPoints) -> None:
    """Raise DoesNotFit where the scores to compare would take more memory than hot indexes may."""
    needed = 4 * len(points.rows) * len(hot.row_indexes) * len(sweep.damping_scales)
    budget = runtime.settings.memory_budget_bytes
    if needed > budget:
        raise DoesNotFit(
            f"The scores to compare take {needed:,} bytes, the worker's budget is {budget:,}.",
            hint="Sweep fewer test points or fewer damping scales.",
            extra={"needed_bytes": needed, "budget_bytes": budget},
        )


def _score_all(
    runtime: Runtime, sweep: Sweep, hot: AnyIndex, points: TestPoints, judge: Judge | None
) -> tuple[dict[float, NDArray[np.float32]], dict[float, NDArray[np.float64]] | None]:
    """Influence (m, n) and agreement with retraining (p,) by damping.

    What a damping was prepared for is let go before the next: a solve can take GBs.
    """
    runtime.store.jobs.set_phase(sweep.job_id, "dampings", total=len(sweep.damping_scales), unit="dampings")
    found, agreement = {}, {}
    for done, scale in enumerate(sweep.damping_scales):
        runtime.check_stopping()
        if runtime.store.jobs.is_cancelled(sweep.job_id):
            raise Cancelled("The sweep was cancelled.")
        score = hot.scorer(sweep.method, scale, keep=False)
        found[scale] = score_all_points(score, points.gradients)
        if judge is not None:
            agreement[scale] = judge.agree(score_all_points(score, judge.gradients))
        runtime.store.jobs.set_done(sweep.job_id, done + 1)
    return found, agreement if judge is not None else None
