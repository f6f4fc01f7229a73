"""One training run of an experiment: fresh model, rows, what it reaches, and scores taken along the way."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.evaluation.experiment import MethodChoice, TrainingRecipe
from influence.contracts.evaluation.record import Evaluation
from workers.evaluating.base import Watch
from workers.evaluating.experiment_rows import Setting
from workers.evaluating.models.untrained import load_untrained
from workers.evaluating.scorer import Scorer, open_scorer, share_gradients
from workers.evaluating.training_progress import Steps
from workers.loading.checkpoint import LoadedCheckpoint
from workers.rows import Row
from workers.runtime.state import Runtime
from workers.training.loop import Epoch, measure_losses, train

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A model after its training; `loss` is the mean of its last epoch's batches."""

    loaded: LoadedCheckpoint
    loss: float

    def losses(self, runtime: Runtime, rows: Sequence[Row]) -> Floats:
        """Losses (rows,) of rows in evaluation mode."""
        task = self.loaded.task
        found = measure_losses(
            self.loaded.model, task, task.tokenise(rows), device=runtime.device, lock=runtime.device_lock
        )
        losses: Floats = found.double().numpy()
        return losses


def train_on(
    runtime: Runtime,
    evaluation: Evaluation,
    rows: Sequence[Row],
    *,
    seed: int,
    watch: Watch,
    rank: int | None = None,
    on_epoch: Callable[[LoadedCheckpoint, Epoch], None] = lambda _loaded, _epoch: None,
) -> Trained:
    """Train a fresh model on rows by the request's recipe under a seed. Raises CheckpointRefused, RowsRefused."""
    recipe = evaluation.request.recipe.model_copy(update={"seed": seed})
    loaded = load_untrained(runtime, evaluation, seed=seed, rank=rank)
    loss = train(
        loaded.model,
        loaded.task,
        loaded.task.tokenise(rows),
        recipe,
        device=runtime.device,
        lock=runtime.device_lock,
        watch=watch,
        on_epoch=lambda epoch: on_epoch(loaded, epoch),
    )
    return Trained(loaded, loss)


class Trail:
    """Influence by method, summed over checkpoints of a run: an `on_epoch` that scores where a choice asks for it."""

    def __init__(
        self,
        runtime: Runtime,
        recipe: TrainingRecipe,
        choices: Sequence[MethodChoice],
        train_rows: Sequence[Row],
        test_rows: Sequence[Row],
        touch: Callable[[int], None],
    ) -> None:
        self.influence: dict[str, Floats] = {}
        self.scorer: Scorer | None = None
        self._runtime = runtime
        self._epochs = recipe.epochs
        self._batch_rows = recipe.batch_rows
        self._choices = choices
        self._rows = (train_rows, test_rows)
        self._touch = touch

    def __call__(self, loaded: LoadedCheckpoint, epoch: Epoch) -> None:
        """Score with the model as it stands; the last epoch's scorer stays."""
        due = [choice for choice in self._choices if epoch.number in epochs_of(choice, self._epochs)]
        if not due:
            return
        train_rows, test_rows = (loaded.task.tokenise(rows) for rows in self._rows)
        for task, asked in share_gradients(loaded.task, due):
            self.scorer, test = open_scorer(
                self._runtime,
                loaded.model,
                task,
                (train_rows, test_rows),
                asked,
                self._touch,
                batch_rows=self._batch_rows,
            )
            self._add(asked, self.scorer, test, epoch.learning_rate)

    def _add(
        self, asked: Sequence[MethodChoice], scorer: Scorer, test: Mapping[str, Tensor], learning_rate: float
    ) -> None:
        for choice in asked:
            weight = learning_rate if choice.sums else 1.0
            part = weight * scorer.influence(choice, test)
            known = self.influence.get(choice.title)
            self.influence[choice.title] = part if known is None else known + part
            self._touch(0)


def score_run(
    runtime: Runtime,
    evaluation: Evaluation,
    setting: Setting,
    choices: Sequence[MethodChoice],
    *,
    seed: int,
    steps: Steps,
    rank: int | None = None,
) -> tuple[Trail, Trained]:
    """Train on all rows of a setting under one of the request's seeds, and score them along the way.

    Raises what `train_on` raises.
    """
    recipe = evaluation.request.recipe
    trail = Trail(runtime, recipe, choices, setting.train, setting.test, steps.touch)
    trained = train_on(
        runtime, evaluation, setting.train, seed=recipe.seed + seed, watch=steps.watch, rank=rank, on_epoch=trail
    )
    return trail, trained


def epochs_of(choice: MethodChoice, epochs: int) -> frozenset[int]:
    """Numbers of the epochs after which a checkpoint is taken: those named, or evenly spread, the last one always among
    them."""
    if choice.epochs is not None:
        return frozenset(choice.epochs)
    count = min(choice.checkpoints, epochs)
    return frozenset(math.ceil(epochs * place / count) for place in range(1, count + 1))


def rounded(values: Floats, digits: int = 7) -> list[object]:
    """Nested lists of numbers with so many significant digits, as JSON keeps them."""
    if values.ndim > 1:
        return [rounded(row, digits) for row in values]
    return [float(f"{value:.{digits}g}") for value in values.tolist()]


def titles(choices: Sequence[MethodChoice]) -> list[str]:
    """Names of the choices in their order."""
    return [choice.title for choice in choices]
