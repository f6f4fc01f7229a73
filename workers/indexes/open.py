"""A ready index with its model, and its rows in memory: what a query, an audit or an evaluation works with."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from influence.methods.registry import get_offered
from workers.indexes.compact import load_compact_index
from workers.indexes.full import load_full_index
from workers.indexes.partitions.partitioned import PartitionedIndex, is_partitioned, load_partitioned_index
from workers.indexes.restore import restoring
from workers.runtime.deletions import require_kept
from workers.runtime.hot_indexes import POINTS_PER_PASS, HotIndex, Scorer
from workers.runtime.models import HotModel
from workers.runtime.open import open_model, require_ready
from workers.runtime.state import Runtime
from workers.runtime.stopwatch import Stopwatch

#: Between two words on how much of an index is loaded: shards take less time than saying so.
_TELL_SECONDS = 0.2


@dataclass(frozen=True)
class OpenedIndex:
    """An index's record, the model that its gradients were taken of, and its rows."""

    index: Index
    model: HotModel
    hot: HotIndex


def open_index(
    runtime: Runtime, index_id: str, job_id: str, *methods: str, watch: Stopwatch | None = None
) -> OpenedIndex:
    """Open a ready index that offers some methods.

    Raises NotFound, IndexNotReady, MethodNotOffered before anything is loaded, then CheckpointRefused and what
    `open_hot` raises.
    """
    watch = watch or Stopwatch()
    index = require_offered(runtime, index_id, *methods)
    with watch.phase("load_model"):
        model = open_model(runtime, index)
    with watch.phase("load_index"):
        return OpenedIndex(index, model, open_hot(runtime, index, job_id))


def require_offered(runtime: Runtime, index_id: str, *methods: str) -> Index:
    """The record of a ready index that offers some methods. Raises NotFound, IndexNotReady, MethodNotOffered."""
    index = require_ready(runtime, index_id)
    for method in methods:
        get_offered(method, index.spec)
    return index


def open_hot(runtime: Runtime, index: Index, job_id: str) -> HotIndex:
    """The rows of an index in memory; the job shows progress while they are loaded.

    Raises NotFound when the index is deleted meanwhile: what was deleted is never kept, see workers.runtime.deletions.
    A lost shard is computed again, or ShardMissing raised when another does so and takes long; for what a query cannot
    compute the index is built again, and IndexNotReady raised.
    """

    told_at = time.monotonic()

    def report(rows: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _TELL_SECONDS:
            told_at = time.monotonic()
            runtime.store.jobs.set_done(job_id, rows)

    def load() -> HotIndex:
        runtime.store.jobs.set_phase(job_id, "loading index", total=index.rows_indexed or index.rows)
        with restoring(runtime, index):
            hot = _load(runtime, index, report)
        require_kept(runtime, index)
        return hot

    hot = runtime.hot_indexes.get(index, load)
    return hot.asked_by(job_id) if isinstance(hot, PartitionedIndex) else hot


def _load(runtime: Runtime, index: Index, report: Callable[[int], None]) -> HotIndex:
    if index.spec.storage == "full":
        return load_full_index(runtime, index, report)
    if is_partitioned(runtime.settings, index):
        return load_partitioned_index(runtime, index, report)
    return load_compact_index(runtime, index, report)


def score_all_points(score: Scorer, gradients: Mapping[str, Tensor]) -> NDArray[np.float32]:
    """Influence (m, n) float32 of all rows of one index on test gradients (m, d) per block."""
    points = len(next(iter(gradients.values())))
    starts = range(0, points, POINTS_PER_PASS)
    return np.concatenate([score(take_points(gradients, start, start + POINTS_PER_PASS)) for start in starts])


def take_points(gradients: Mapping[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    """Some of the test points, by position."""
    return {name: values[start:stop] for name, values in gradients.items()}
