"""The model's own answers to test points."""

from collections.abc import Sequence

from influence.contracts.tasks import TASKS
from influence.errors import RowsRefused
from workers.rows import Row
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime
from workers.tasks.base import Prediction

#: Texts that are written only to be shown: each costs tens of forward passes.
MAX_SHOWN_TEXTS = 16

Predictions = list[Prediction | None]


def predict_rows(runtime: Runtime, model: HotModel, rows: Sequence[Row], *, is_target: bool, show: bool) -> Predictions:
    """What the model answers to each row; None for a row that asks nothing, and where no answer is wanted.

    With `is_target` the answers are scored, and rows without a question are refused with RowsRefused. With `show`
    alone they are left out, and so are all texts where there are more than MAX_SHOWN_TEXTS rows.
    """
    writes = TASKS[model.task.name].answers == "text"
    if not is_target and not (show and (not writes or len(rows) <= MAX_SHOWN_TEXTS)):
        return [None] * len(rows)
    if not writes:
        with runtime.device_lock:
            return list(model.task.predict(model.model, rows))
    return [_write(runtime, model, row, is_target) for row in rows]


def _write(runtime: Runtime, model: HotModel, row: Row, is_target: bool) -> Prediction | None:
    try:
        with runtime.device_lock:
            return model.task.predict(model.model, [row])[0]
    except RowsRefused:
        if is_target:
            raise
        return None
