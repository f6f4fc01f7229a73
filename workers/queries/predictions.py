"""The model's own answers to test points."""

from collections.abc import Sequence

import torch

from influence.contracts.points import GenerationSettings
from influence.contracts.tasks import TASKS
from influence.errors import RowsRefused
from workers.rows import Row
from workers.runtime.models import HotModel
from workers.runtime.sharing.passes import share_forward
from workers.runtime.state import Runtime
from workers.tasks.base import OfHead, Painter, Prediction

#: Texts that are written only to be shown: each costs tens of forward passes.
MAX_SHOWN_TEXTS = 16

Predictions = list[Prediction | None]


def predict_rows(
    runtime: Runtime,
    model: HotModel,
    rows: Sequence[Row],
    *,
    is_target: bool,
    show: bool,
    generation: GenerationSettings | None = None,
) -> Predictions:
    """What the model answers to each row; None for a row that asks nothing, and where no answer is wanted.

    Images are made, as `generation` says, where they are scored and not merely to be shown.

    With `is_target` the answers are scored, and rows without a question are refused with RowsRefused. With `show`
    alone they are left out, and so are all texts where there are more than MAX_SHOWN_TEXTS rows.
    """
    if isinstance(model.task, Painter):
        asked = generation or GenerationSettings()
        return [model.task.paint(model.model, row, asked, runtime.device_lock) if is_target else None for row in rows]
    writes = TASKS[model.task.name].answers == "text"
    if not is_target and not (show and (not writes or len(rows) <= MAX_SHOWN_TEXTS)):
        return [None] * len(rows)
    if isinstance(model.task, OfHead):
        return [*model.task.answer(_read_head(runtime, model, model.task, rows))]
    if not writes:
        with runtime.device_lock:
            return list(model.task.predict(model.model, rows))
    return [_write(runtime, model, row, is_target) for row in rows]


def _read_head(runtime: Runtime, model: HotModel, task: OfHead, rows: Sequence[Row]) -> torch.Tensor:
    """What the head gives for each row (n, C) float32, on the host."""
    encoded = task.questions(rows)
    parts: dict[int, torch.Tensor] = {}
    for positions, found in share_forward(runtime, model, encoded, task.logits, model.passes.outputs):
        parts |= dict(zip(positions, found.float().cpu(), strict=True))
    return torch.stack([parts[place] for place in range(len(encoded))])


def _write(runtime: Runtime, model: HotModel, row: Row, is_target: bool) -> Prediction | None:
    try:
        with runtime.device_lock:
            return model.task.predict(model.model, [row])[0]
    except RowsRefused:
        if is_target:
            raise
        return None
