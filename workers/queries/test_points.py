"""Test points of a query: from rows to gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from influence.contracts.points import PointSource
from influence.errors import NonFiniteGradients
from workers.rows import Row
from workers.runtime.models import HotModel
from workers.runtime.open import open_rows
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime
from workers.tasks.base import Prediction


@dataclass(frozen=True)
class TestPoints:
    """m test points: `rows` as scored, their losses and predictions, and gradients (m, d) a block."""

    __test__ = False  # not a pytest class

    rows: list[Row]
    losses: list[float]
    predictions: list[Prediction | None]
    gradients: dict[str, Tensor]

    def without_gradients(self) -> "TestPoints":
        """The same points, without what takes memory."""
        return replace(self, gradients={})

    def mean(self) -> "TestPoints":
        """One test point whose gradient is the mean: the gradient of the mean loss."""
        gradients = {name: values.mean(dim=0, keepdim=True) for name, values in self.gradients.items()}
        summary = {"aggregate": "mean", "test_points": len(self.rows)}
        return TestPoints([summary], [sum(self.losses) / len(self.losses)], [None], gradients)


#: Losses and what stands for the gradients of rows: real ones, or a baseline's vectors.
Collect = Callable[[Runtime, HotModel, Sequence[Row]], tuple[list[float], dict[str, Tensor]]]


def make_test_points(
    runtime: Runtime,
    source: PointSource,
    model: HotModel,
    *,
    predict: bool = False,
    collect: "Collect | None" = None,
) -> TestPoints:
    """Gradients of the test points asked about, or what `collect` makes in their place; with `predict` also what the
    model answers.

    With target `prediction` the model's own answer takes the label's place. Raises NonFiniteGradients naming rows.
    """
    rows = _read_rows(runtime, source, model)
    unasked: list[Prediction | None] = [None] * len(rows)
    predictions = _predict(runtime, model, rows) if predict or source.target == "prediction" else unasked
    if source.target == "prediction":
        rows = [
            model.task.with_prediction(row, prediction)
            for row, prediction in zip(rows, predictions, strict=True)
            if prediction is not None
        ]
    losses, gradients = (collect or collect_gradients)(runtime, model, rows)
    return TestPoints(rows, losses, predictions, gradients)


def _read_rows(runtime: Runtime, source: PointSource, model: HotModel) -> list[Row]:
    if source.rows is None:
        return [dict(example) for example in source.examples or []]
    file = open_rows(runtime, source.rows.dataset_id, model)
    wanted = source.rows.row_indexes
    return list(file.read(0, len(file)) if wanted is None else file.read_many(wanted))


def _predict(runtime: Runtime, model: HotModel, rows: Sequence[Row]) -> list[Prediction | None]:
    with runtime.device_lock:
        return list(model.task.predict(model.model, rows))


def collect_gradients(runtime: Runtime, model: HotModel, rows: Sequence[Row]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and gradients (m, d) a block of rows with their labels. Raises NonFiniteGradients naming rows."""
    encoded = model.task.tokenise(rows)
    losses = torch.empty(len(rows), dtype=torch.float32)
    gradients: dict[str, Tensor] = {}
    for positions, batch in stream_rows(runtime, model, encoded):
        if bad := batch.find_non_finite():
            names = [encoded[positions[row]].row_id for row in bad]
            raise NonFiniteGradients(
                f"Test points with NaN or infinite gradients: {', '.join(names[:5])}.",
                hint="Leave these test points out, or ask an index of precision float32.",
                extra={"row_ids": names[:20], "count": len(names)},
            )
        losses[positions] = batch.losses.float().cpu()
        for name, values in batch.blocks.items():
            if name not in gradients:
                gradients[name] = values.new_empty((len(rows), values.shape[1]))
            gradients[name][positions] = values
    return losses.tolist(), gradients


def take(gradients: Mapping[str, Tensor], start: int, stop: int) -> dict[str, Any]:
    """Some of the test points."""
    return {name: values[start:stop] for name, values in gradients.items()}
