"""Linear datamodelling score: do summed scores of a subset predict the test losses after training on it?

Source: Park et al. 2023, TRAK. A piece is the run whose scores are judged, or one training on a random subset.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import CalibrateRequest, LdsRequest, MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from influence.evaluating.datamodel import predict_losses
from influence.evaluating.draws import draw_subsets, training_seed
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting, read_setting
from workers.evaluating.index_scores import score_indexed
from workers.evaluating.kinds.lds_baselines import score_baselines
from workers.evaluating.kinds.lds_report import make_report
from workers.evaluating.run import Floats, rounded, score_run, titles, train_on
from workers.evaluating.training_progress import Steps
from workers.gradients.collector import GradientCollector
from workers.runtime.models import HotModel
from workers.runtime.open import open_model, require_ready
from workers.runtime.state import Runtime

#: Compact rank of the default table: up to 32 numbers per block, 854 bytes per row with 25 blocks.
_COMPACT_RANK = 32
_CHECKPOINTS = 3
_PLAIN, _CURVED = ("datainf", "hessian_free", "cosine"), ("exact", "joint", "proximal", "preconditioned")
DEFAULT_METHODS = (
    *(MethodChoice(method=name) for name in (*_PLAIN, *_CURVED)),
    *(
        MethodChoice(method=name, storage="compact", rank=_COMPACT_RANK)
        for name in ("datainf", "exact", "proximal", "preconditioned")
    ),
    *(MethodChoice(method=name, checkpoints=_CHECKPOINTS) for name in ("hessian_free", "datainf", "exact")),
    *(MethodChoice(method=name, checkpoints=_CHECKPOINTS) for name in ("proximal", "preconditioned")),
    MethodChoice(method="proximal", storage="compact", rank=_COMPACT_RANK, checkpoints=_CHECKPOINTS),
)
#: Of an index, for its one checkpoint: those of them that it offers.
INDEXED_METHODS = tuple(
    MethodChoice(method=name) for name in ("datainf", "hessian_free", "exact", "joint", "proximal", "preconditioned")
)


class Lds:
    """Seeds times (one run with scores and `subsets` times `retrain_seeds` trainings)."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest where rows are lacking."""
        request = _request_of(evaluation)
        seeds = (0,) if request.index_id is not None else request.seeds
        for seed in seeds:
            _read(runtime, evaluation, seed)
        trainings = [_training(s, repeat) for repeat in range(request.retrain_seeds) for s in range(request.subsets)]
        return [{"seed": seed, **piece} for seed in seeds for piece in ({}, *trainings)]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """What the scores predict for every subset, or the test losses after training on one."""
        seed = int(piece["seed"])
        setting = _read(runtime, evaluation, seed)
        subsets = subsets_of(_request_of(evaluation), len(setting.train), seed)
        if "subset" not in piece:
            found, baselines = _score(runtime, evaluation, setting, seed, watch)
            predicted, stand_ins = (
                {title: rounded(predict_losses(influence, subsets)) for title, influence in part.items()}
                for part in (found, baselines)
            )
            sizes = {"rows": len(setting.train), "tests": len(setting.test)}
            return {"seed": seed, "predicted": predicted, "baselines": stand_ins, **sizes}
        number, repeat = int(piece["subset"]), int(piece.get("repeat", 0))
        drawn = 0 if _request_of(evaluation).same_seed else number
        return measure_subset(runtime, evaluation, setting, subsets[number], drawn, watch, repeat=repeat)

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """Tables, picture and reading."""
        request = _request_of(evaluation)
        runs: list[Json] = []
        for result in (result for result in results if "predicted" in result):
            own = [
                (piece, other)
                for piece, other in zip(pieces, results, strict=True)
                if "subset" in piece and piece["seed"] == result["seed"]
            ]
            trainings = gather_losses(own)
            runs.append({**result, "measured": trainings.mean(0).tolist(), "trainings": trainings})
        # An index may offer fewer than the default choices.
        names = [title for title in titles(_choices(request)) if title in runs[0]["predicted"]]
        return make_report(request, names, runs)


def _training(subset: int, repeat: int) -> Json:
    return {"subset": subset, "repeat": repeat} if repeat else {"subset": subset}


def gather_losses(trainings: Sequence[tuple[Json, Json]]) -> NDArray[np.float64]:
    """Losses (repeats, subsets, test points) of pieces with a subset and their results."""
    found = {(int(piece.get("repeat", 0)), int(piece["subset"])): result["losses"] for piece, result in trainings}
    repeats, subsets = (max(place[axis] for place in found) + 1 for axis in (0, 1))
    return np.asarray([[found[repeat, subset] for subset in range(subsets)] for repeat in range(repeats)])


def measure_subset(
    runtime: Runtime,
    evaluation: Evaluation,
    setting: Setting,
    subset: NDArray[np.bool_],
    number: int,
    watch: Watch,
    *,
    repeat: int = 0,
) -> Json:
    """Train on the rows that a subset (n,) marks, from the seed of a number and repeat; the test points' losses."""
    rows = [setting.train[row] for row in np.flatnonzero(subset)]
    seed = training_seed(evaluation.request.recipe.seed, number, repeat)
    trained = train_on(runtime, evaluation, rows, seed=seed, watch=watch)
    return {"losses": rounded(trained.losses(runtime, setting.test)), "train_loss": trained.loss}


def subsets_of(request: LdsRequest | CalibrateRequest, rows: int, seed: int) -> NDArray[np.bool_]:
    """The random subsets (s, rows) of a request under a seed."""
    return draw_subsets(rows, request.subsets, request.subset_share, seed=seed)


def _score(
    runtime: Runtime, evaluation: Evaluation, setting: Setting, seed: int, watch: Watch
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Influence (m, n) by the titles of methods, and of baselines."""
    request = _request_of(evaluation)
    steps = Steps(watch)
    if request.index_id is not None:
        found = score_indexed(runtime, evaluation, setting.test, _choices(request), steps.touch)
        model = open_model(runtime, require_ready(runtime, request.index_id))
        return found, score_baselines(runtime, model, setting.train, setting.test)
    trail, trained = score_run(runtime, evaluation, setting, _choices(request), seed=seed, steps=steps)
    steps.touch(0)
    loaded = trained.loaded
    model = HotModel(GradientCollector(loaded.model, loaded.task.row_losses), loaded.task)
    return trail.influence, score_baselines(runtime, model, setting.train, setting.test)


def _choices(request: LdsRequest) -> tuple[MethodChoice, ...]:
    return request.methods or (DEFAULT_METHODS if request.index_id is None else INDEXED_METHODS)


def _read(runtime: Runtime, evaluation: Evaluation, seed: int) -> Setting:
    return read_setting(runtime, evaluation, seed=seed, flip_share=_request_of(evaluation).flip_share)


def _request_of(evaluation: Evaluation) -> LdsRequest:
    assert isinstance(evaluation.request, LdsRequest)
    return evaluation.request
