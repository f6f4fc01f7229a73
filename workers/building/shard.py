"""One shard: consecutive rows, from text to committed bytes."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index, ShardCommit
from influence.store.work import send
from workers.building.attempts import attempt
from workers.building.compact import CompactShard
from workers.building.fit_basis import refuse_non_finite
from workers.building.full import FullShard
from workers.building.kronecker import ShardFactors
from workers.building.plan import shard_size
from workers.building.sizes import planned_budget
from workers.building.wait_for_memory import retry_while_full
from workers.gradients.collector import RowGradients
from workers.rows import EncodedRow
from workers.runtime.interrupts import require_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_indexed_rows, open_model
from workers.runtime.progress import JobProgress, TokensDone
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime


class ShardWriter(Protocol):
    """What a kind of storage does with a shard's gradients.

    `wanted` are the places whose gradients it still needs, `keep` (rows,) which rows stay, `factors` what it takes of
    Kronecker factors, if any.
    """

    keep: NDArray[np.bool_]
    wanted: NDArray[np.int64]

    @property
    def factors(self) -> ShardFactors | None: ...

    def put(self, positions: Sequence[int], found: RowGradients) -> None: ...

    @property
    def squared_norm_sums(self) -> NDArray[np.float64]: ...

    @property
    def length_sums(self) -> tuple[float, float]: ...

    @property
    def drift(self) -> dict[str, Any]: ...

    def write(self) -> tuple[int, int]: ...


def compute_shard(runtime: Runtime, index: Index, shard: int) -> None:
    """Compute and commit one shard; one that is committed already is left as it is.

    Raises NonFiniteGradients (policy `fail`) with the row ids, Cancelled when the build is not wanted any more,
    WorkerDied for a shard that killed its workers.
    """
    require_wanted(runtime, index.job_id)
    if shard >= index.shards:
        return  # the plan was lost with the server's last second, and is made again
    if not runtime.store.index_data.is_committed(index.build, shard):
        with attempt(runtime, index.job_id, shard, f"Shard {shard}"):
            _compute_and_commit(runtime, index, shard)
    if runtime.store.index_data.count_commits(index.build) == index.shards:
        send(runtime.store, index, "finish_index")


def _compute_and_commit(runtime: Runtime, index: Index, shard: int) -> None:
    started = time.monotonic()
    row_ids, rows = collect_shard(runtime, index, shard, JobProgress(runtime, index.job_id, shard=shard))
    size, chunks = retry_while_full(runtime, index.job_id, rows.write)
    commit = ShardCommit(
        shard=shard,
        rows=int(rows.keep.sum()),
        bytes=size,
        chunks=chunks,
        skipped=tuple(row_id for row_id, keep in zip(row_ids, rows.keep, strict=True) if not keep),
        seconds=round(time.monotonic() - started, 3),
        squared_norm_sums=tuple(rows.squared_norm_sums.tolist()),
        length_sums=rows.length_sums,
        **rows.drift,
    )
    retry_while_full(runtime, index.job_id, partial(runtime.store.index_data.commit, index.build, commit))
    JobProgress(runtime, index.job_id, shard=shard).report(len(row_ids), last=True)


def collect_shard(
    runtime: Runtime, index: Index, shard: int, progress: JobProgress | None
) -> tuple[list[str], ShardWriter]:
    """A shard's rows with their gradients taken in; applies the index's policy for rows that are not finite."""
    model = open_model(runtime, index)
    encoded = _tokenise(runtime, model, index, shard)
    make = FullShard if index.spec.storage == "full" else CompactShard
    rows: ShardWriter = make(runtime, index, shard, len(encoded))

    wanted = [encoded[place] for place in rows.wanted]
    # Rows that the plan computed are not done at once: the rate would count them as if they took no time.
    watch = TokensDone(wanted, len(encoded), progress.report if progress is not None else lambda _rows: None)
    budget = planned_budget(index)
    for positions, found in stream_rows(runtime, model, wanted, with_factors=rows.factors is not None, budget=budget):
        rows.put(rows.wanted[positions].tolist(), found)
        del found  # before the next batch is computed
        watch.add(positions)
    row_ids = [row.row_id for row in encoded]
    refuse_non_finite(index, [row_id for row_id, keep in zip(row_ids, rows.keep, strict=True) if not keep])
    if rows.factors is not None:
        for _, found in stream_rows(
            runtime, model, [encoded[place] for place in rows.factors.again], with_factors=True, budget=budget
        ):
            rows.factors.add(found)
    return row_ids, rows


def _tokenise(runtime: Runtime, model: HotModel, index: Index, shard: int) -> list[EncodedRow]:
    start = shard * index.rows_per_shard
    rows = open_indexed_rows(runtime, index)
    return model.task.tokenise(list(rows.read(start, start + shard_size(index, shard))))
