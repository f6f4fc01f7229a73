"""How long trainings should take, by the speed at which an index was built."""

from collections.abc import Sequence

from influence.contracts.evaluation import TrainingRecipe
from influence.contracts.index import Index


def training_seconds(
    trained_on: Sequence[tuple[int, int]], recipe: TrainingRecipe, index: Index | None
) -> float | None:
    """Seconds of so many trainings on so many rows each; None where no index says how long a row's gradient takes."""
    rate = ((None if index is None else index.timings) or {}).get("rows_per_second")
    return None if not rate else recipe.epochs * sum(times * rows for times, rows in trained_on) / rate
