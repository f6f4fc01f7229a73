"""Scores of an index that stands already, for an experiment that judges it."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from influence.contracts.evaluation import Evaluation, MethodChoice
from influence.errors import IndexNotReady
from influence.methods.registry import get_method
from workers.evaluating.run import Floats
from workers.evaluating.scorer import collect
from workers.rows import Row
from workers.runtime import Runtime
from workers.scoring.parts import load_hot
from workers.scoring.testpoints import take

#: Test points scored in one pass.
_POINTS_PER_PASS = 32


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
        get_method(choice.method, index.spec.storage)
    checkpoint = runtime.store.checkpoints.require(index.spec.checkpoint_id)
    model = runtime.models.get(checkpoint, index.spec.gradients)
    hot = load_hot(runtime, index, evaluation.job_id)
    test = collect(runtime, model.model, model.task, model.task.tokenise(test_rows), touch).blocks
    found: dict[str, Floats] = {}
    for choice in choices:
        parts = []
        for start in range(0, len(test_rows), _POINTS_PER_PASS):
            points: dict[str, Tensor] = take(test, start, start + _POINTS_PER_PASS)
            parts.append(hot.scorer(choice.method, choice.damping_scale)(points))
            touch(0)
        found[choice.title] = np.concatenate(parts).astype(np.float64)
    return found
