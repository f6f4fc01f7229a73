"""How well scores find labels that were made wrong on purpose: the DataInf paper's Figure 2 (section 4.2).

Beside the methods stands what costs nothing: the row's training loss.
"""

from collections.abc import Sequence

import numpy as np

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import MethodChoice, MislabelledRequest
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.evaluation.report import Report
from influence.errors import InvalidRequest
from influence.evaluating.agreement import auc
from influence.evaluating.statistics import precision_curve
from influence.methods.registry import get_method
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting, read_setting
from workers.evaluating.kinds.mislabelled_report import DEPTHS, make_report
from workers.evaluating.run import Floats, Trail, rounded, score_run
from workers.evaluating.training_progress import Steps
from workers.runtime.state import Runtime

DEFAULT_METHODS = tuple(
    MethodChoice(method=name)
    for name in ("datainf", "hessian_free", "cosine", "exact", "joint", "proximal", "lissa", "lissa-paper")
)
_RESAMPLES = 400
_LOSS = "training loss (baseline)"


class Mislabelled:
    """One piece a seed: a run on rows with wrong labels, and what every signal makes of them."""

    def plan(self, runtime: Runtime, evaluation: Evaluation) -> list[Json]:
        """Raises InvalidRequest where no label would be changed."""
        request = _request_of(evaluation)
        if not _read(runtime, evaluation, request.seeds[0]).flipped.any():
            raise InvalidRequest("Not one label would be changed.", hint="Raise 'flip_share' or send more rows.")
        return [{"seed": seed} for seed in request.seeds]

    def run(self, runtime: Runtime, evaluation: Evaluation, piece: Json, watch: Watch) -> Json:
        """AUC with its bootstrap, and the curve, of every signal."""
        request, seed = _request_of(evaluation), int(piece["seed"])
        setting, steps = _read(runtime, evaluation, seed), Steps(watch)
        choices = request.methods or DEFAULT_METHODS
        trail, trained = score_run(runtime, evaluation, setting, choices, seed=seed, steps=steps)
        signals = _signals(trail, choices, steps)
        return {
            "rows": len(setting.train),
            "flipped": int(setting.flipped.sum()),
            "test_loss": float(trained.losses(runtime, setting.test).mean()),
            "signals": {name: _judge(values, setting, seed) for name, values in signals.items()},
        }

    def report(self, evaluation: Evaluation, pieces: Sequence[Json], results: Sequence[Json]) -> Report:
        """Table, curves and reading."""
        return make_report(_request_of(evaluation), results)


def _signals(trail: Trail, choices: Sequence[MethodChoice], steps: Steps) -> dict[str, Floats]:
    """Numbers (n,) a signal, highest = most suspicious. Harmful rows have positive influence on the mean test loss."""
    assert trail.scorer is not None
    found = {choice.title: trail.influence[choice.title].mean(axis=0) for choice in choices}
    for choice in filter(_shows_self_influence, choices):
        found[f"{choice.title}, self-influence"] = trail.scorer.self_influence(choice)
        steps.touch()
    return {**found, _LOSS: trail.scorer.train.losses}


def _shows_self_influence(choice: MethodChoice) -> bool:
    """Looked at where it is had: an iterative method would pass over all rows hundreds of times for each row."""
    method = get_method(choice.method)
    is_had = method.has_self_influence and not method.is_iterative
    return is_had and choice.storage == "full" and not choice.sums


def _judge(values: Floats, setting: Setting, seed: int) -> Json:
    """AUC of the rows, of the rows drawn anew (wrong and right ones apart), and recall and precision by depth."""
    marks = setting.flipped
    wrong, right = np.flatnonzero(marks), np.flatnonzero(~marks)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([part[rng.integers(0, len(part), len(part))] for part in (wrong, right)])
        drawn.append(auc(values[rows], marks[rows]))
    recall, precision = precision_curve(values, marks)
    places = np.maximum(np.round(np.asarray(DEPTHS) * len(values)).astype(int), 1) - 1
    return {
        "auc": auc(values, marks),
        "drawn": rounded(np.asarray(drawn), 5),
        "recall": rounded(recall[places], 5),
        "precision": rounded(precision[places], 5),
        "precision_at_flips": float(precision[len(wrong) - 1]),
    }


def _read(runtime: Runtime, evaluation: Evaluation, seed: int) -> Setting:
    return read_setting(runtime, evaluation, seed=seed, flip_share=_request_of(evaluation).flip_share)


def _request_of(evaluation: Evaluation) -> MislabelledRequest:
    assert isinstance(evaluation.request, MislabelledRequest)
    return evaluation.request
