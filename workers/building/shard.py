"""One shard: consecutive rows, from text to committed gradients."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index, ShardCommit
from influence.errors import Cancelled, NonFiniteGradients, WorkerDied
from influence.rows.file import RowFile
from workers.building.plan import shard_size
from workers.building.progress import BuildProgress
from workers.collecting import stream_rows
from workers.gradients.collector import RowGradients
from workers.gradients.finiteness import find_non_finite
from workers.models import HotModel
from workers.rows import EncodedRow
from workers.runtime import Runtime

#: A shard that has been begun so often kills its workers; the build fails instead of going on for ever.
MAX_ATTEMPTS = 5
_NAMED_ROWS = 20


@dataclass
class ShardRows:
    """What is known of a shard's rows. Rows of `keep` False are left out of the index.

    `gradients[l]` is (rows, d_l) in the storage dtype, `norms` (rows, blocks) float32 squared norms,
    `losses` (rows,) float32.
    """

    gradients: list[NDArray[np.generic]]
    norms: NDArray[np.float64]
    losses: NDArray[np.float32]
    keep: NDArray[np.bool_]

    @classmethod
    def empty(cls, rows: int, sizes: Sequence[int], dtype: str) -> "ShardRows":
        """Room for `rows` rows."""
        return cls(
            gradients=[np.empty((rows, size), dtype=dtype) for size in sizes],
            norms=np.zeros((rows, len(sizes))),
            losses=np.zeros(rows, dtype=np.float32),
            keep=np.ones(rows, dtype=np.bool_),
        )

    def put(self, positions: Sequence[int], found: RowGradients) -> None:
        """Store one micro-batch; rows that the storage dtype cannot hold are marked as not finite."""
        self.losses[positions] = found.losses.float().cpu().numpy()
        self.keep[[positions[row] for row in find_non_finite(found)]] = False
        for block, gradients in enumerate(found.blocks.values()):
            values = gradients.cpu().numpy()
            self.norms[positions, block] = np.einsum("nd,nd->n", values, values, dtype=np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                stored = values.astype(self.gradients[block].dtype, copy=False)
            if stored.dtype != values.dtype:
                self.keep[positions] &= np.isfinite(stored).all(axis=1)
            self.gradients[block][positions] = stored

    def kept(self) -> "ShardRows":
        """Only the rows that stay."""
        if self.keep.all():
            return self
        chosen = [gradients[self.keep] for gradients in self.gradients]
        return ShardRows(chosen, self.norms[self.keep], self.losses[self.keep], self.keep[self.keep])


def compute_shard(runtime: Runtime, index: Index, shard: int) -> None:
    """Compute and commit one shard; one that is committed already is left as it is.

    Raises NonFiniteGradients (policy `fail`) with the row ids, Cancelled when the build is not wanted any more.
    """
    if runtime.store.jobs.is_cancelled(index.job_id):
        return
    if not runtime.store.index_data.is_committed(index.id, shard):
        _check_attempts(runtime, index, shard)
        _compute_and_commit(runtime, index, shard)
    if runtime.store.index_data.count_commits(index.id) == index.shards:
        runtime.store.queue.submit("finish_index", index_id=index.id)


def _check_attempts(runtime: Runtime, index: Index, shard: int) -> None:
    attempts = runtime.store.jobs.count_attempt(index.job_id, shard)
    if attempts > MAX_ATTEMPTS:
        raise WorkerDied(f"Shard {shard} was begun {MAX_ATTEMPTS} times and never finished.")


def _compute_and_commit(runtime: Runtime, index: Index, shard: int) -> None:
    started = time.monotonic()
    row_ids, rows = collect_shard(runtime, index, shard, BuildProgress(runtime, index.job_id, shard=shard))
    try:
        size, chunks = write_shard(runtime, index, shard, rows)
        commit = ShardCommit(
            shard=shard, rows=int(rows.keep.sum()), bytes=size, chunks=chunks,
            skipped=tuple(row_id for row_id, keep in zip(row_ids, rows.keep, strict=True) if not keep),
            seconds=round(time.monotonic() - started, 3),
            squared_norm_sums=tuple(rows.norms[rows.keep].sum(axis=0).tolist()),
        )  # fmt: skip
        runtime.store.index_data.commit(index.id, commit)
        if runtime.store.jobs.is_cancelled(index.job_id):
            raise Cancelled("The build was cancelled.")
    except Cancelled:
        runtime.store.index_data.delete_shard(index.id, shard)
        raise


def collect_shard(
    runtime: Runtime, index: Index, shard: int, progress: BuildProgress | None
) -> tuple[list[str], ShardRows]:
    """Gradients of a shard's rows, in order; applies the index's policy for rows that are not finite."""
    model = runtime.models.get(runtime.store.checkpoints.require(index.spec.checkpoint_id), index.spec.gradients)
    encoded = _tokenise(runtime, model, index, shard)
    sizes = [block.parameters for block in index.blocks]
    rows = ShardRows.empty(len(encoded), sizes, index.spec.storage_dtype)
    for positions, found in stream_rows(runtime, model, encoded, _reporter(progress)):
        rows.put(positions, found)
    _apply_policy(index, [row.row_id for row in encoded], rows)
    return [row.row_id for row in encoded], rows


def _reporter(progress: BuildProgress | None) -> Callable[[int], None]:
    def report(done: int) -> None:
        if progress is not None:
            progress.report(done)

    return report


def _tokenise(runtime: Runtime, model: HotModel, index: Index, shard: int) -> list[EncodedRow]:
    start = shard * index.rows_per_shard
    rows = RowFile(runtime.files.dataset(index.spec.dataset_id))
    return model.task.tokenise(rows.read(start, start + shard_size(index, shard)))


def _apply_policy(index: Index, row_ids: Sequence[str], rows: ShardRows) -> None:
    bad = [row_id for row_id, keep in zip(row_ids, rows.keep, strict=True) if not keep]
    if bad and index.spec.on_non_finite == "fail":
        raise NonFiniteGradients(
            f"{len(bad)} rows have NaN or infinite gradients, for example {', '.join(bad[:3])}.",
            extra={"row_ids": bad[:_NAMED_ROWS], "count": len(bad)},
        )


def write_shard(runtime: Runtime, index: Index, shard: int, rows: ShardRows) -> tuple[int, int]:
    """Write a shard's arrays; answers (bytes, pieces). Nothing counts before the commit."""
    data, kept = runtime.store.index_data, rows.kept()
    start = shard * index.rows_per_shard
    row_indexes = (start + np.flatnonzero(rows.keep)).astype(np.int64)
    written = [
        data.write_rows(index.id, shard, "kept", row_indexes),
        data.write_rows(index.id, shard, "norms", kept.norms.astype(np.float32)),
        data.write_rows(index.id, shard, "losses", kept.losses),
        *(data.write_gradients(index.id, shard, block, gradients) for block, gradients in enumerate(kept.gradients)),
    ]
    return sum(size for size, _ in written), sum(pieces for _, pieces in written)
