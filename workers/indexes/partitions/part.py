"""A range of an index's rows in memory, and what is asked of it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from influence.compact.arrays import Float64s
from influence.contracts.common import Frozen
from influence.contracts.index import Index
from influence.store.data.chunks import DamagedChunk
from workers.building.compact_rows import CompactRows
from workers.indexes.compact import CompactIndex, make_compact_index, read_shards
from workers.indexes.restore import restoring
from workers.runtime.deletions import drop_if_deleted, require_kept
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: Arrays of an index: the mean of its stored numbers' products, which some methods solve with.
MEAN_STORED = "mean-stored"


class PartWork(Frozen):
    """A message: a `step` over rows `start` to `stop` of an index, as it was built by a job; `shape` and `dtype` are of
    the array that all parts of the pass are asked. `rows` are places within the part, where the step is about some."""

    scan_id: str
    part: int
    index_id: str
    build_job_id: str
    start: int
    stop: int
    step: str
    shape: tuple[int, ...]
    dtype: str
    method: str = ""
    damping_scale: float | None = None
    rows: tuple[int, int] = (0, 0)


def compute_part(runtime: Runtime, work: PartWork) -> None:
    """Do one part of a pass and keep what was found. Safe to run twice; nothing is done for a pass that is over.

    Raises what `open_part` raises, and MethodNotOffered.
    """
    scans = runtime.store.scans
    asked = None if scans.is_answered(work.scan_id, work.part) else scans.asked(work.scan_id, work.shape, work.dtype)
    if asked is None:
        return
    index = runtime.store.indexes.require(work.index_id)
    require_kept(runtime, index.model_copy(update={"job_id": work.build_job_id}))
    hot = open_part(runtime, index, work.start, work.stop)
    scans.answer(work.scan_id, work.part, _STEPS[work.step](hot, work, asked))
    log.debug("part of a pass done", index_id=index.id, part=work.part, step=work.step)


def open_part(runtime: Runtime, index: Index, start: int, stop: int) -> CompactIndex:
    """Rows `start` to `stop` of an index, by position, in memory. Raises what `workers.indexes.open.open_hot` does."""

    def load() -> CompactIndex:
        with restoring(runtime, index):
            hot = _load_part(runtime, index, start, stop)
        require_kept(runtime, index)
        return hot

    return runtime.hot_indexes.get(index, load, what=f"rows {start} to {stop}")


def _load_part(runtime: Runtime, index: Index, start: int, stop: int) -> CompactIndex:
    commits = runtime.store.index_data.require_commits(index.build, index.shards)
    stops = np.cumsum([commit.rows for commit in commits])
    first, last = np.searchsorted(stops, start, side="right"), np.searchsorted(stops, stop, side="left")
    begins = int(stops[first]) - commits[first].rows
    read = read_shards(runtime, index, commits[first : last + 1], report=lambda _rows: None)
    hot = make_compact_index(runtime, index, _trim(read.take(slice(start - begins, stop - begins)), read))
    return replace(hot, rows=replace(hot.rows, read_mean=partial(read_mean, runtime, index)))


def _trim(part: CompactRows, read: CompactRows) -> CompactRows:
    """The part by itself where it is a view of much more: of many small parts of one shard, say."""
    return part if 2 * part.codes.nbytes >= read.codes.nbytes else part.copy()


def read_mean(runtime: Runtime, index: Index) -> Float64s:
    """1/n sum z z' (P, P) of all rows, as it was kept. Raises DamagedChunk where it was not."""
    return np.asarray(runtime.store.index_data.require_parts(index.build, MEAN_STORED)["mean"], np.float64)


def keep_mean(runtime: Runtime, index: Index, compute: Callable[[], Float64s]) -> Float64s:
    """The same, computed and kept where it was not."""
    try:
        return read_mean(runtime, index)
    except DamagedChunk:
        mean = compute()
    runtime.store.index_data.write_parts(index.build, MEAN_STORED, {"mean": mean})
    drop_if_deleted(runtime, index)
    return mean


def _score(hot: CompactIndex, work: PartWork, vectors: NDArray[Any]) -> NDArray[np.float32]:
    return hot.prepare(work.method, work.damping_scale).finish(hot.scan(vectors))


def _score_self(hot: CompactIndex, work: PartWork, _asked: NDArray[Any]) -> NDArray[np.float32]:
    return hot.self_influence(work.method, work.damping_scale, slice(*work.rows))


def _add_stored(hot: CompactIndex, _work: PartWork, total: NDArray[Any]) -> NDArray[np.float64]:
    return hot.rows.add_stored(total)


#: What can be asked of a part: influence (m, rows) for query vectors (m, P); scores of rows on themselves; the sum of
#: rows before it (P, P) continued.
_STEPS: dict[str, Callable[[CompactIndex, PartWork, NDArray[Any]], NDArray[Any]]] = {
    "score": _score,
    "self_influence": _score_self,
    "add_stored": _add_stored,
}
