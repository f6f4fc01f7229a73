"""What the gradients of a class attribution are taken of, and what needs none: text and images side by side."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from influence.contracts.common import Json
from influence.errors import UnsupportedModule
from workers.evaluating.kinds.attribution_scores import judge, with_loss_on_prompt
from workers.gradients.collector import GradientCollector
from workers.rows import EncodedRow, Row
from workers.runtime.embeddings import embed_rows
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime
from workers.tasks.base import Pictured, Task

#: Training and test rows, as the model reads them.
Encoded = tuple[list[EncodedRow], list[EncodedRow]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scope:
    """(training, test) rows under the task that says what their gradients are taken of."""

    task: Task
    rows: Encoded


def encode_scopes(task: Task, train_rows: Sequence[Row], test_rows: Sequence[Row]) -> dict[str, Scope]:
    """By name, what training lowers first. Raises RowMasked and what a task says of its rows."""
    rows = task.tokenise(train_rows), task.tokenise(test_rows)
    if isinstance(task, Pictured):
        return {"loss": Scope(task, rows), "square": Scope(task.measured_by("square"), rows)}
    train_part, test_part = ([with_loss_on_prompt(row) for row in part] for part in rows)
    return {"completion": Scope(task, rows), "prompt": Scope(task, (train_part, test_part))}


def judge_baselines(
    runtime: Runtime, model: torch.nn.Module, task: Task, rows: Encoded, classes: tuple[list[str], list[str]]
) -> Json:
    """How well the test row's class is found by what reads or looks alike."""
    hot = HotModel(GradientCollector(model, task.row_losses), task)
    return {name: judge(scores, *classes) for name, scores in find_likeness(runtime, hot, *rows).items()}


def find_likeness(
    runtime: Runtime, model: HotModel, train: Sequence[EncodedRow], test: Sequence[EncodedRow]
) -> dict[str, Floats]:
    """How alike (tests, rows) are, by what needs no gradient, and of pixels no model; more is more alike.

    Of a model that tells no hidden states there are no embeddings.
    """
    found: dict[str, Floats] = {}
    with suppress(UnsupportedModule):
        here, there = (embed_rows(runtime, model, part).double().numpy() for part in (test, train))
        found["embedding"] = here @ there.T
    if isinstance(model.task, Pictured):
        found["pixel distance"] = -_pixel_distances(model.task, train, test)
    return found


def _pixel_distances(task: Pictured, train: Sequence[EncodedRow], test: Sequence[EncodedRow]) -> Floats:
    """Squared distances (tests, rows) of pixels at the model's resolution."""
    here, there = (task.pixels(part).double().numpy() for part in (test, train))
    squares = (here**2).sum(axis=1)[:, None] + (there**2).sum(axis=1)[None]
    distances: Floats = np.maximum(squares - 2 * here @ there.T, 0.0)
    return distances
