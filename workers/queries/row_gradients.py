"""True gradients of a few training rows, computed where they are not kept: what codes' scores are replaced by."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from workers.runtime.deletions import forget_if_deleted
from workers.runtime.open import open_indexed_rows, open_model
from workers.runtime.sharing.passes import share_rows
from workers.runtime.state import Runtime


def read_row_gradients(
    runtime: Runtime, index: Index, row_indexes: NDArray[np.int64], hear: Callable[[int], None] | None = None
) -> Tensor:
    """Gradients (r, D) float32 of data set rows in order, all blocks joined, on the worker's device.

    `hear` is told of rows as they are computed, and may raise. Raises NotFound when the index is deleted meanwhile.
    """
    return runtime.gradient_cache.get(
        index,
        row_indexes.tolist(),
        lambda rows: _compute(runtime, index, rows, hear),
        lambda: forget_if_deleted(runtime, index),
    )


def _compute(runtime: Runtime, index: Index, row_indexes: Sequence[int], hear: Callable[[int], None] | None) -> Tensor:
    model = open_model(runtime, index)
    encoded = model.task.tokenise(open_indexed_rows(runtime, index).read_many(row_indexes))
    gradients = torch.empty(len(row_indexes), index.parameters or 0, dtype=torch.float32, device=runtime.device)
    begun, done = time.monotonic(), 0
    for positions, batch in share_rows(runtime, model, encoded):
        gradients[positions] = torch.cat([block.float() for block in batch.blocks.values()], dim=1)
        done += len(positions)
        runtime.gradient_cache.note_rate(index, done, time.monotonic() - begun)
        if hear is not None:
            hear(len(positions))
    return gradients
