"""An index in memory, and what it is asked by name."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from influence.contracts.index import Index
from workers.runtime import Runtime
from workers.scoring.compact import CompactIndex, load_compact_index
from workers.scoring.full import FullIndex, load_full_index

GradientIndex = FullIndex | CompactIndex


def load_hot(runtime: Runtime, index: Index, job_id: str) -> GradientIndex:
    """The index in memory, with progress while it is loaded."""
    load_index = load_full_index if index.spec.storage == "full" else load_compact_index

    def load() -> GradientIndex:
        runtime.store.jobs.set_phase(job_id, "loading index", total=index.rows_indexed or index.rows)
        return load_index(runtime, index, lambda rows: runtime.store.jobs.set_done(job_id, rows))

    return runtime.hot_indexes.get(index.id, load)


def score_gradients(
    hot: GradientIndex, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor]
) -> NDArray[np.float32]:
    """Influence (m, n) of all rows on test gradients (m, d) a block."""
    if isinstance(hot, FullIndex):
        return hot.score(method, damping_scale, test)
    return hot.score(method, damping_scale, list(test.values()))
