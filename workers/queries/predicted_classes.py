"""The class that a model answers to each of many rows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.errors import RowsUnfit
from influence.rows.file import RowFile
from workers.rows import Batch
from workers.runtime.interrupts import check_wanted
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward
from workers.runtime.state import Runtime
from workers.tasks.base import Classifier

_BLOCK_ROWS = 1024


def predict_classes(
    runtime: Runtime, job_id: str, model: HotModel, file: RowFile, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Class numbers (n,) for some rows; the first of equally probable ones. Raises RowsUnfit, Cancelled."""
    task = model.task
    if not isinstance(task, Classifier):
        raise RowsUnfit(f"Rows of task '{task.name}' have no class.", hint="Group by a metadata column.")

    def probabilities(module: torch.nn.Module, batch: Batch) -> Tensor:
        return task.class_probabilities(module, batch)

    found = np.zeros(len(rows), dtype=np.int64)
    runtime.store.jobs.set_phase(job_id, "predictions", total=len(rows), unit="rows")
    for start in range(0, len(rows), _BLOCK_ROWS):
        check_wanted(runtime, job_id)
        block = rows[start : start + _BLOCK_ROWS]
        encoded = task.tokenise(file.read_many(block.tolist()))
        for positions, chances in stream_forward(runtime, model, encoded, probabilities):
            found[start + np.asarray(positions)] = chances.cpu().argmax(dim=1).numpy()
        runtime.store.jobs.set_done(job_id, start + len(block))
    return found
