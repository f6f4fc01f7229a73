"""A sweep from message to stored comparison: one pass over the index at every damping."""

import numpy as np
from numpy.typing import NDArray

from influence.contracts.sweep import Sweep
from influence.errors import DoesNotFit
from influence.evaluating.dampings import compare_dampings
from influence.store.work import finish
from workers.evaluating.retraining import Judge, read_judge
from workers.indexes.open import open_index, score_all_points
from workers.queries.test_points import TestPoints, make_test_points
from workers.runtime.hot_indexes import HotIndex
from workers.runtime.interrupts import check_wanted
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch


def sweep_dampings(runtime: Runtime, sweep: Sweep) -> None:
    """Score the test points at every damping, compare, and store the result. Safe to run twice."""
    watch = Stopwatch()
    opened = open_index(runtime, sweep.index_id, sweep.job_id, sweep.method, watch=watch)
    model, hot = opened.model, opened.hot
    with watch.phase("test_gradients"):
        points = make_test_points(runtime, sweep.request, model)
    _check_room(runtime, sweep, hot, points)
    judge = read_judge(runtime, sweep, model)
    with watch.phase("score"):
        influence, agreement = _score_all(runtime, sweep, hot, points, judge)
    with watch.phase("compare"):
        result = compare_dampings(influence, sweep.default_damping_scale, agreement)
    done = {"result": result, "milliseconds": watch.finish()}
    finish(runtime.store, sweep, lambda current: current.model_copy(update=done))


def _check_room(runtime: Runtime, sweep: Sweep, hot: HotIndex, points: TestPoints) -> None:
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
    runtime: Runtime, sweep: Sweep, hot: HotIndex, points: TestPoints, judge: Judge | None
) -> tuple[dict[float, NDArray[np.float32]], dict[float, NDArray[np.float64]] | None]:
    """Influence (m, n) and agreement with retraining (p,) by damping.

    What a damping was prepared for is let go before the next: a solve can take GBs.
    """
    runtime.store.jobs.set_phase(sweep.job_id, "dampings", total=len(sweep.damping_scales), unit="dampings")
    found, agreement = {}, {}
    for done, scale in enumerate(sweep.damping_scales):
        check_wanted(runtime, sweep.job_id)
        score = hot.scorer(sweep.method, scale, keep=False)
        found[scale] = score_all_points(score, points.gradients)
        if judge is not None:
            agreement[scale] = judge.agree(score_all_points(score, judge.gradients))
        runtime.store.jobs.set_done(sweep.job_id, done + 1)
    return found, agreement if judge is not None else None
