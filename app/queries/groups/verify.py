"""Training again without just the rows that somebody would leave out: what it costs, and its beginning."""

import numpy as np
from numpy.typing import NDArray

from app.evaluations.cost import sum_cost
from app.evaluations.submit import submit_evaluation
from app.http.context import Context
from app.http.idempotency import Accepted
from influence.contracts.curation.groups import Cost, Groups, WhatIf, WhatIfRequest
from influence.contracts.curation.prediction import Predicted
from influence.contracts.evaluation.experiment import MAX_TEST_ROWS, LeaveOutRequest
from influence.contracts.index import Index
from influence.errors import InvalidRequest


def estimate_cost(index: Index, request: WhatIfRequest, removed: int) -> Cost:
    """Trainings, steps and seconds of verifying that `removed` rows are left out of an index."""
    rows = index.rows_indexed or index.rows
    # All rows, all but those asked about, all but as many at random.
    return sum_cost([(request.repeats, rows), (2 * request.repeats, rows - removed)], request.recipe, index)


def begin_verification(
    context: Context, record: Groups, request: WhatIfRequest, removed: NDArray[np.int64], said: WhatIf
) -> Accepted:
    """Put the evaluation on the queue.

    Raises InvalidRequest where it would take longer than `max_seconds`, or nobody knows, and what an evaluation of kind
    'leave-out' raises.
    """
    _check_cost(said.cost, request.max_seconds)
    evaluation = record.request.evaluation
    points = None if evaluation.row_indexes is None else tuple(dict.fromkeys(evaluation.row_indexes))[:MAX_TEST_ROWS]
    asked = LeaveOutRequest(
        kind="leave-out",
        index_id=record.index_id,
        evaluation_dataset_id=evaluation.dataset_id,
        evaluation_row_indexes=points,
        test_points=MAX_TEST_ROWS,
        row_indexes=tuple(removed.tolist()),
        repeats=request.repeats,
        recipe=request.recipe,
        predicted=Predicted(effect=said.effect, percentile=said.percentile, change=said.predicted_change),
    )
    return submit_evaluation(context, asked)


def _check_cost(cost: Cost, max_seconds: float | None) -> None:
    if max_seconds is None or (cost.seconds is not None and cost.seconds <= max_seconds):
        return
    takes = "an unknown time" if cost.seconds is None else f"about {cost.seconds:.0f} s"
    raise InvalidRequest(
        f"Verifying takes {takes}: {cost.trainings} trainings of {cost.steps} steps together; at most "
        f"{max_seconds:g} s are allowed.",
        hint="Raise 'max_seconds', or ask for fewer 'repeats' or 'epochs'.",
        extra={"cost": cost.model_dump()},
    )
