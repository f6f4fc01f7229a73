"""A range of an index's rows in memory, and what is asked of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from influence.compact.arrays import Float64s
from influence.contracts.index import Index
from influence.store.data.chunks import DamagedChunk
from influence.store.data.scans import PartWork
from workers.building.compact_rows import CompactRows
from workers.indexes.compact import CompactIndex, make_compact_index, read_shards
from workers.indexes.partitions.looks import Look
from workers.indexes.partitions.ranked import look_at_part
from workers.indexes.restore import restoring
from workers.runtime.deletions import drop_if_deleted, require_kept
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: Arrays of an index: the mean of its stored numbers' products, which some methods solve with.
MEAN_STORED = "mean-stored"


@dataclass(frozen=True)
class _Asked:
    """A part in memory, and what it is asked."""

    runtime: Runtime
    index: Index
    hot: CompactIndex
    work: PartWork
    asked: NDArray[Any]


def compute_part(runtime: Runtime, work: PartWork) -> None:
    """Do one part of a pass and keep what was found. Safe to run twice; nothing is done for a pass that is over.

    Raises what `open_part` raises, and MethodNotOffered.
    """
    open_pass(runtime, work).compute(work)


@dataclass(frozen=True)
class OpenedPass:
    """What all parts of a pass over an `index` are `asked`; None where the pass is over."""

    runtime: Runtime
    index: Index | None
    asked: NDArray[Any] | None

    def compute(self, work: PartWork) -> None:
        """Do one of its parts; see `compute_part`."""
        runtime, index, scans = self.runtime, self.index, self.runtime.store.scans
        if index is None or self.asked is None or scans.is_answered(work.scan_id, work.part):
            return
        hot = open_part(runtime, index, work.start, work.stop)
        scans.answer(work.scan_id, work.part, _STEPS[work.step](_Asked(runtime, index, hot, work, self.asked)))
        log.debug("part of a pass done", index_id=index.id, part=work.part, step=work.step)


def open_pass(runtime: Runtime, work: PartWork) -> OpenedPass:
    """The pass that a part belongs to. Raises NotFound where its index is not there as it was built."""
    asked = runtime.store.scans.asked(work.scan_id, work.shape, work.dtype)
    if asked is None:
        return OpenedPass(runtime, None, None)
    index = runtime.store.indexes.require(work.index_id)
    require_kept(runtime, index.model_copy(update={"job_id": work.build_job_id}))
    return OpenedPass(runtime, index, asked)


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


def _score(part: _Asked) -> NDArray[np.float32]:
    prepared = part.hot.prepare(part.work.method, part.work.damping_scale)
    return prepared.finish(part.hot.scan(part.asked))


def _look(part: _Asked) -> NDArray[np.uint8]:
    return look_at_part(part.runtime, part.index, part.hot, part.work, Look.unpack(part.asked)).pack()


def _score_self(part: _Asked) -> NDArray[np.float32]:
    return part.hot.self_influence(part.work.method, part.work.damping_scale, slice(*part.work.rows))


def _add_stored(part: _Asked) -> NDArray[np.float64]:
    return part.hot.rows.add_stored(part.asked)


#: What can be asked of a part: influence (m, rows) for query vectors (m, P); a `Look` at it; scores of rows on
#: themselves; the sum of rows before it (P, P) continued.
_STEPS: dict[str, Callable[[_Asked], NDArray[Any]]] = {
    "score": _score,
    "look": _look,
    "self_influence": _score_self,
    "add_stored": _add_stored,
}
