"""Embeddings of an index's rows as they are kept in Redis: row state, float16, in pieces made when first asked for."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index, ShardCommit
from influence.errors import DoesNotFit
from influence.store.data.chunks import DamagedChunk
from workers.indexes.repair import read_or_repair
from workers.runtime.deletions import drop_if_deleted
from workers.runtime.embeddings import embed_rows
from workers.runtime.interrupts import check_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_indexed_rows
from workers.runtime.state import Runtime

#: Row state of a shard: embeddings (rows, width) float16, so many rows per piece.
EMBEDDINGS = "embeddings"
PIECE_ROWS = 128
_ITEM_BYTES = 2


@dataclass(frozen=True)
class Piece:
    """Consecutive kept rows of a shard, small enough that a query waits for one without noticing."""

    commit: ShardCommit
    number: int

    @property
    def part(self) -> str:
        return f"{EMBEDDINGS}-{self.number}"

    @property
    def rows(self) -> slice:
        return slice(self.number * PIECE_ROWS, self.number * PIECE_ROWS + len(self))

    def __len__(self) -> int:
        return min(PIECE_ROWS, self.commit.rows - self.number * PIECE_ROWS)


def cut_pieces(runtime: Runtime, index: Index) -> list[Piece]:
    """All pieces of an index, in the order of its rows. Raises DamagedChunk when commits are lost."""
    commits = runtime.store.index_data.require_commits(index.build, index.shards)
    return [Piece(commit, number) for commit in commits for number in range(-(-commit.rows // PIECE_ROWS))]


def fill_embeddings(runtime: Runtime, index: Index, model: HotModel, job_id: str, until: float) -> bool:
    """Embed pieces that are not embedded yet, at least one, until the moment `until`; whether all are done now.

    Raises DoesNotFit before anything is kept when they would exceed the budget, Cancelled.
    """
    data, pieces = runtime.store.index_data, cut_pieces(runtime, index)
    missing = [piece for piece in pieces if not data.has_rows(index.build, piece.commit.shard, piece.part)]
    if missing:
        runtime.store.jobs.continue_phase(job_id, "embeddings", total=sum(map(len, pieces)))
    done = sum(map(len, pieces)) - sum(map(len, missing))
    for place, piece in enumerate(missing, start=1):
        write_embeddings(runtime, index, model, piece)
        done += len(piece)
        _report(runtime, job_id, done)
        if place < len(missing) and time.monotonic() > until:
            return False
    return True


def _report(runtime: Runtime, job_id: str, done: int) -> None:
    check_wanted(runtime, job_id)
    runtime.store.jobs.set_done(job_id, done)


def write_embeddings(runtime: Runtime, index: Index, model: HotModel, piece: Piece) -> None:
    """Embed one piece and keep it. Raises DoesNotFit, and NotFound when the index was deleted meanwhile."""
    data, shard = runtime.store.index_data, piece.commit.shard
    kept = read_row_state(runtime, index, piece.commit, "kept", "int64")[piece.rows]
    rows = open_indexed_rows(runtime, index).read_many(kept.tolist())
    vectors = embed_rows(runtime, model, model.task.tokenise(rows)).half().numpy()
    _check_room(runtime, index, vectors.shape[1])
    data.write_rows(index.build, shard, piece.part, vectors)
    drop_if_deleted(runtime, index)


def read_embeddings(runtime: Runtime, index: Index, model: HotModel, piece: Piece, width: int) -> NDArray[np.generic]:
    """Embeddings (rows, width) float16 of a piece; what is lost or damaged is computed again."""
    data, shard, shape = runtime.store.index_data, piece.commit.shard, (len(piece), width)
    try:
        return data.read_rows(index.build, shard, piece.part, shape, "float16")
    except DamagedChunk:
        write_embeddings(runtime, index, model, piece)
        return data.read_rows(index.build, shard, piece.part, shape, "float16")


def read_row_state(runtime: Runtime, index: Index, commit: ShardCommit, part: str, dtype: str) -> NDArray[np.generic]:
    """One number per row of a shard, such as `losses`; a shard that was lost is computed again."""

    def read() -> NDArray[np.generic]:
        return runtime.store.index_data.read_rows(index.build, commit.shard, part, (commit.rows,), dtype)

    return read_or_repair(runtime, index, commit.shard, read)


def count_bytes(runtime: Runtime, index: Index, size: int) -> None:
    """Say in the index's record what its embeddings take in Redis; once, however often it is called."""
    if index.embedding_bytes is not None:
        return

    def count(current: Index) -> Index:
        bare = (current.bytes or 0) - (current.embedding_bytes or 0)
        return current.model_copy(update={"bytes": bare + size, "embedding_bytes": size})

    runtime.store.indexes.update(index.id, count)


def _check_room(runtime: Runtime, index: Index, width: int) -> None:
    wanted = (index.rows_indexed or index.rows) * width * _ITEM_BYTES
    budget = runtime.settings.storage_budget_bytes
    if index.embedding_bytes is None and (index.bytes or 0) + wanted > budget:
        raise DoesNotFit(
            f"The embeddings of {index.id} take {wanted:,} bytes beside its {index.bytes or 0:,}, more than the "
            f"{budget:,} that an index may take.",
            hint="Ask an influence method, or raise DATAINF_STORAGE_BUDGET_BYTES.",
            extra={"needed_bytes": wanted, "index_bytes": index.bytes, "budget_bytes": budget},
        )
