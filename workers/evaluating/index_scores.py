"""Scores of an index that stands already, for an experiment that judges it."""

from collections.abc import Callable, Sequence

import numpy as np

from influence.contracts.evaluation import Evaluation, MethodChoice
from influence.errors import IndexNotReady
from influence.methods.registry import get_offered
from workers.evaluating.run import Floats
from workers.evaluating.scorer import collect
from workers.queries.influence import score_all_points
from workers.queries.opened import load_hot
from workers.rows import Row
from workers.runtime.state import Runtime


def score_indexed(
    runtime: Runtime,
    evaluation: Evaluation,
    test_rows: Sequence[Row],
    choices: Sequence[MethodChoice],
    touch: Callable[[int], None],
) -> dict[str, Floats]:
    """Influence (m, rows of the index) by the title of each choice, on the storage that the index has.

    Raises IndexNotReady, MethodNotOffered.
    """
    index = runtime.store.indexes.require(str(evaluation.request.index_id))
    if index.state != "succeeded":
        raise IndexNotReady(f"Index {index.id} is {index.state}.")
    for choice in choices:
        get_offered(choice.method, index.spec)
    checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
    model = runtime.models.get(checkpoint, index.spec.gradients)
    hot = load_hot(runtime, index, evaluation.job_id)
    test = collect(runtime, model.model, model.task, model.task.tokenise(test_rows), touch).blocks
    found: dict[str, Floats] = {}
    for choice in choices:
        found[choice.title] = score_all_points(hot.scorer(choice.method, choice.damping_scale), test).astype(np.float64)
        touch(0)
    return found
