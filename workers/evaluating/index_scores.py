"""Scores of an index that stands already, for an experiment that judges it."""

from collections.abc import Callable, Sequence

import numpy as np

from influence.contracts.evaluation.experiment import MethodChoice
from influence.contracts.evaluation.record import Evaluation
from influence.methods.registry import get_method, metrics_of
from workers.evaluating.run import Floats
from workers.evaluating.scorer import collect
from workers.indexes.open import open_index, score_all_points
from workers.rows import Row
from workers.runtime.open import require_ready
from workers.runtime.state import Runtime


def score_indexed(
    runtime: Runtime,
    evaluation: Evaluation,
    test_rows: Sequence[Row],
    choices: Sequence[MethodChoice],
    touch: Callable[[int], None],
) -> dict[str, Floats]:
    """Influence (m, rows of the index) by the title of each choice, on the storage that the index has. Where the
    request names no methods, of those that the index offers.

    Raises IndexNotReady, MethodNotOffered.
    """
    if evaluation.request.methods is None:
        spec = require_ready(runtime, str(evaluation.request.index_id)).spec
        choices = [choice for choice in choices if get_method(choice.method).metric in metrics_of(spec)]
    methods = [choice.method for choice in choices]
    opened = open_index(runtime, str(evaluation.request.index_id), evaluation.job_id, *methods)
    model, hot = opened.model, opened.hot
    encoded = model.task.tokenise(test_rows)
    test = collect(runtime, model.model, model.task, encoded, touch, collector=model.collector).blocks
    found: dict[str, Floats] = {}
    for choice in choices:
        found[choice.title] = score_all_points(hot.scorer(choice.method, choice.damping_scale), test).astype(np.float64)
        touch(0)
    return found
