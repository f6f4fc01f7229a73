"""Linear datamodelling score: do summed scores of a subset predict the test losses after training on it?

Source: Park et al. 2023, TRAK. A piece is the run whose scores are judged, or one training on a random subset.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.contracts.evaluation import CalibrateRequest, Evaluation, LdsRequest, MethodChoice, Report
from influence.evaluating.datamodel import predict_losses
from influence.evaluating.draws import draw_subsets, training_seed
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting, read_setting
from workers.evaluating.index_scores import score_indexed
from workers.evaluating.kinds.lds_report import make_report
from workers.evaluating.run import Floats, rounded, score_run, titles, train_on
from workers.evaluating.training_progress import Steps
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
    """Seeds times (one run with scores and `subsets` trainings)."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest where rows are lacking."""
        request = _request_of(evaluation)
        seeds = (0,) if request.index_id is not None else request.seeds
        for seed in seeds:
            _read(runtime, evaluation, seed)
        subsets = range(request.subsets)
        return [piece for seed in seeds for piece in ({"seed": seed}, *({"seed": seed, "subset": s} for s in subsets))]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """What the scores predict for every subset, or the test losses after training on one."""
        seed = int(piece["seed"])
        setting = _read(runtime, evaluation, seed)
        subsets = subsets_of(_request_of(evaluation), len(setting.train), seed)
        if "subset" not in piece:
            found = _score(runtime, evaluation, setting, seed, watch)
            predicted = {title: rounded(predict_losses(influence, subsets)) for title, influence in found.items()}
            return {"seed": seed, "predicted": predicted, "rows": len(setting.train), "tests": len(setting.test)}
        return measure_subset(runtime, evaluation, setting, subsets[int(piece["subset"])], int(piece["subset"]), watch)

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """Tables, picture and reading."""
        request = _request_of(evaluation)
        runs: list[Json] = []
        for result in (result for result in results if "predicted" in result):
            measured = [
                other["losses"]
                for piece, other in zip(pieces, results, strict=True)
                if "subset" in piece and piece["seed"] == result["seed"]
            ]
            runs.append({**result, "measured": measured})
        # An index may offer fewer than the default choices.
        names = [title for title in titles(_choices(request)) if title in runs[0]["predicted"]]
        return make_report(request, names, runs)


def measure_subset(
    runtime: Runtime,
    evaluation: Evaluation,
    setting: Setting,
    subset: NDArray[np.bool_],
    number: int,
    watch: Watch,
) -> Json:
    """Train on the rows that a subset (n,) marks; the test points' losses then."""
    rows = [setting.train[row] for row in np.flatnonzero(subset)]
    seed = training_seed(evaluation.request.recipe.seed, number)
    trained = train_on(runtime, evaluation, rows, seed=seed, watch=watch)
    return {"losses": rounded(trained.losses(runtime, setting.test)), "train_loss": trained.loss}


def subsets_of(request: LdsRequest | CalibrateRequest, rows: int, seed: int) -> NDArray[np.bool_]:
    """The random subsets (s, rows) of a request under a seed."""
    return draw_subsets(rows, request.subsets, request.subset_share, seed=seed)


def _score(runtime: Runtime, evaluation: Evaluation, setting: Setting, seed: int, watch: Watch) -> dict[str, Floats]:
    request = _request_of(evaluation)
    steps = Steps(watch)
    if request.index_id is not None:
        return score_indexed(runtime, evaluation, setting.test, _choices(request), steps.touch)
    trail, _ = score_run(runtime, evaluation, setting, _choices(request), seed=seed, steps=steps)
    return trail.influence


def _choices(request: LdsRequest) -> tuple[MethodChoice, ...]:
    return request.methods or (DEFAULT_METHODS if request.index_id is None else INDEXED_METHODS)


def _read(runtime: Runtime, evaluation: Evaluation, seed: int) -> Setting:
    return read_setting(runtime, evaluation, seed=seed, flip_share=_request_of(evaluation).flip_share)


def _request_of(evaluation: Evaluation) -> LdsRequest:
    assert isinstance(evaluation.request, LdsRequest)
    return evaluation.request
