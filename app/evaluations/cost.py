"""What training again takes, said before it is begun."""

from collections.abc import Sequence

from app.evaluations.feasibility import count_training_rows
from app.evaluations.submit import settle_evaluation
from app.http.context import Context
from influence.contracts.curation.groups import Cost
from influence.contracts.evaluation.experiment import EvaluationRequest, TrainingRecipe
from influence.contracts.index import Index
from influence.evaluating.training_time import training_seconds


def foresee_cost(context: Context, request: EvaluationRequest) -> Cost:
    """Trainings, steps and seconds of an evaluation; nothing is begun. Raises what submitting it raises."""
    settled = settle_evaluation(context, request)
    index = None if request.index_id is None else context.store.indexes.find(request.index_id)
    rows = count_training_rows(settled.request, settled.dataset)
    if index is not None:
        rows = min(rows, index.rows_indexed or index.rows)
    return sum_cost(settled.request.trained_on(rows), settled.request.recipe, index)


def sum_cost(trained_on: Sequence[tuple[int, int]], recipe: TrainingRecipe, index: Index | None) -> Cost:
    """So many trainings on so many rows each; no seconds without an index, whose gradients say how fast a row is."""
    sizes = [(times, max(rows, 1)) for times, rows in trained_on]
    steps = recipe.epochs * sum(times * -(-rows // recipe.batch_rows) for times, rows in sizes)
    trainings = sum(times for times, _ in sizes)
    return Cost(trainings=trainings, steps=steps, seconds=training_seconds(sizes, recipe, index))
