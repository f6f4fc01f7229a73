"""Leave out the rows that scores name, train again, and compare with leaving out rows at random.

A piece is one way of choosing rows under one seed: the run whose scores choose, then every training without them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import LEAVE_OUT_METHODS, LeaveOutRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from influence.errors import InvalidRequest
from influence.evaluating.draws import training_seed
from influence.ranking.order import scores_of
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting, places_in_index, read_setting
from workers.evaluating.index_scores import score_indexed
from workers.evaluating.kinds.leave_out_report import AS_GIVEN, AT_RANDOM, NOTHING, make_report
from workers.evaluating.run import score_run, titles, train_on
from workers.evaluating.training_progress import Steps
from workers.runtime.state import Runtime

DEFAULT_METHODS = tuple(MethodChoice(method=name) for name in LEAVE_OUT_METHODS)
Rows = NDArray[np.int64]


class LeaveOut:
    """Seeds times (nothing left out, rows at random, rows by each method)."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest where more rows would be left out than there are."""
        request = _request_of(evaluation)
        if request.row_indexes is not None:
            return [{"seed": 0, "by": way} for way in (NOTHING, AT_RANDOM, AS_GIVEN)]
        seeds = (0,) if request.index_id is not None else request.seeds
        rows = len(_read(runtime, evaluation, seeds[0]).train)
        if max(request.counts) >= rows:
            raise InvalidRequest(
                f"{max(request.counts)} rows cannot be left out of {rows}.",
                hint=f"Ask for 'counts' below {rows}.",
                extra={"rows": rows},
            )
        ways = (NOTHING, AT_RANDOM, *titles(request.methods or DEFAULT_METHODS))
        return [{"seed": seed, "by": way} for seed in seeds for way in ways]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """Mean test losses by number of rows left out, one a repeat."""
        request, seed, way = _request_of(evaluation), int(piece["seed"]), str(piece["by"])
        setting = _read(runtime, evaluation, seed)
        given = _given(runtime, evaluation)
        counts = (0,) if way == NOTHING else request.counts if given is None else (len(given),)
        is_scored = way not in (NOTHING, AT_RANDOM) and request.index_id is None
        steps = Steps(watch, len(counts) * request.repeats + int(is_scored))
        if way in (NOTHING, AT_RANDOM):
            order = None
        else:
            order = _order(runtime, evaluation, setting, way, seed, steps) if given is None else given
        losses: dict[str, list[float]] = {}
        for count in counts:
            losses[str(count)] = []
            for repeat in range(request.repeats):
                dropped = _at_random(len(setting.train), count, seed, repeat) if order is None else order[:count]
                losses[str(count)].append(_train_without(runtime, evaluation, setting, dropped, repeat, steps))
        return {"losses": losses, "flipped_dropped": _flips_found(setting, order, counts)}

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """Table, picture and reading."""
        return make_report(_request_of(evaluation), pieces, results)


def _given(runtime: Runtime, evaluation: Evaluation) -> Rows | None:
    """Positions of the caller's own rows among the training rows; None where scores choose."""
    request = _request_of(evaluation)
    if request.row_indexes is None:
        return None
    index = runtime.store.indexes.require(str(request.index_id))
    return places_in_index(runtime, index, request.row_indexes)


def _order(runtime: Runtime, evaluation: Evaluation, setting: Setting, way: str, seed: int, steps: Steps) -> Rows:
    """Positions of training rows, those to leave out first, by their score on the mean test loss."""
    request = _request_of(evaluation)
    (choice,) = (choice for choice in request.methods or DEFAULT_METHODS if choice.title == way)
    if request.index_id is not None:
        influence = score_indexed(runtime, evaluation, setting.test, [choice], steps.touch)[way]
    else:
        trail, _ = score_run(runtime, evaluation, setting, [choice], seed=seed, steps=steps)
        steps.finish()
        influence = trail.influence[way]
    scores = scores_of(influence.mean(axis=0))
    return np.argsort(-scores if request.drop == "helpful" else scores, kind="stable").astype(np.int64)


def _train_without(
    runtime: Runtime, evaluation: Evaluation, setting: Setting, dropped: Rows, repeat: int, steps: Steps
) -> float:
    kept = np.setdiff1d(np.arange(len(setting.train)), dropped)
    trained = train_on(
        runtime,
        evaluation,
        [setting.train[row] for row in kept],
        seed=training_seed(evaluation.request.recipe.seed, repeat),
        watch=steps.watch,
    )
    steps.finish()
    return float(trained.losses(runtime, setting.test).mean())


def _at_random(rows: int, count: int, seed: int, repeat: int) -> Rows:
    return np.random.default_rng((seed, repeat)).permutation(rows)[:count]


def _flips_found(setting: Setting, order: Rows | None, counts: Sequence[int]) -> dict[str, int] | None:
    """How many of the labels made wrong are among the rows left out."""
    if order is None or not setting.flipped.any():
        return None
    return {str(count): int(setting.flipped[order[:count]].sum()) for count in counts}


def _read(runtime: Runtime, evaluation: Evaluation, seed: int) -> Setting:
    return read_setting(runtime, evaluation, seed=seed, flip_share=_request_of(evaluation).flip_share)


def _request_of(evaluation: Evaluation) -> LeaveOutRequest:
    assert isinstance(evaluation.request, LeaveOutRequest)
    return evaluation.request
