"""Measured retrainings of an index, as a judge of any scores that the index can give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.sweep import Sweep
from influence.errors import NotFound
from influence.evaluating.datamodel import linear_datamodelling_scores, predict_losses
from workers.evaluating.experiment_rows import read_setting
from workers.evaluating.kinds.lds import gather_losses, subsets_of
from workers.evaluating.scorer import collect
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime


@dataclass(frozen=True)
class Judge:
    """Gradients (p, d) a block of the evaluation's test points, the subsets (s, n) and measured losses (s, p)."""

    gradients: dict[str, Tensor]
    subsets: NDArray[np.bool_]
    measured: NDArray[np.float64]

    def agree(self, influence: NDArray[np.float32]) -> NDArray[np.float64]:
        """Linear datamodelling scores (p,) of influence (p, n)."""
        return linear_datamodelling_scores(predict_losses(influence, self.subsets), self.measured)


def read_judge(runtime: Runtime, sweep: Sweep, model: HotModel) -> Judge | None:
    """What the sweep's evaluation measured, with gradients under the swept index's model; None without one.

    Raises NotFound when it was deleted since.
    """
    if sweep.evaluation_id is None:
        return None
    evaluation = runtime.store.evaluations.require(sweep.evaluation_id)
    plan = runtime.store.evaluation_data.plan(evaluation.id)
    results = runtime.store.evaluation_data.results(evaluation.id)
    if plan is None or len(results) < len(plan):
        raise NotFound(f"The results of evaluation {evaluation.id} are gone.", hint="Sweep without 'evaluation_id'.")
    setting = read_setting(runtime, evaluation, seed=0)
    encoded = model.task.tokenise(setting.test)
    found = collect(runtime, model.model, model.task, encoded, collector=model.collector)
    assert isinstance(evaluation.request, LdsRequest)
    subsets = subsets_of(evaluation.request, len(setting.train), 0)
    trainings = [(piece, results[number]) for number, piece in enumerate(plan) if "subset" in piece]
    return Judge(found.blocks, subsets, gather_losses(trainings).mean(0))
