"""How long trainings should take, by the speed at which an index was built."""

from collections.abc import Sequence

from influence.contracts.evaluation.experiment import TrainingRecipe
from influence.contracts.index import Index

#: A row in a step of training over its gradient in a build, whose batches are larger; and what each training takes
#: beside its steps: a model that is loaded, losses of test points. Both as `python -m benchmarks.progress` found them.
_OF_A_GRADIENT, _EACH_SECONDS = 2.0, 2.0


def training_seconds(
    trained_on: Sequence[tuple[int, int]], recipe: TrainingRecipe, index: Index | None
) -> float | None:
    """Seconds of so many trainings on so many rows each; None where no index says how long a row's gradient takes."""
    rate = None if index is None else index.rows_per_second
    if not rate:
        return None
    row_passes = recipe.epochs * sum(times * rows for times, rows in trained_on)
    return _OF_A_GRADIENT * row_passes / rate + _EACH_SECONDS * sum(times for times, _ in trained_on)
