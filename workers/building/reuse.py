"""Rows that a grown index takes from the index it grew from: their stored codes, as they are.

Nothing is shared by reference. Where the old index is gone, or part of it is lost, the rows are computed again; they
count in the moments as reused all the same, so the sum stays right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.compact.codes import Codes, join_codes
from influence.compact.growth import RowPlan, regrow_codes
from influence.contracts.index import Index
from influence.store.chunks import DamagedChunk
from influence.store.indexes import IndexData
from workers.building.sample import SOURCE
from workers.runtime import Runtime


@dataclass(frozen=True)
class StoredRows:
    """Rows as a shard keeps them: data set rows (n,) ascending, codes and losses."""

    rows: NDArray[np.int64]
    codes: Codes
    losses: NDArray[np.float32]


@dataclass(frozen=True)
class Reused:
    """What a shard need not compute. `places` in the shard have stored codes and losses; `added` (rows,) marks the
    rows that are new to the index's moments.
    """

    places: NDArray[np.int64]
    codes: Codes
    losses: NDArray[np.float32]
    added: NDArray[np.bool_]

    def join(self, made: Codes, keep: NDArray[np.bool_]) -> Codes:
        """Codes of the kept rows in order, from the stored ones and from `made`, those of the other kept rows."""
        source = np.full(len(keep), -1, np.int64)
        source[self.places] = np.arange(len(self.places))
        source = source[keep]
        plan = RowPlan(source, np.flatnonzero(source < 0), np.zeros(0, np.int64))
        return regrow_codes(plan, self.codes, made)


def read_reused(runtime: Runtime, index: Index, shard: int, rows: int, width: int) -> Reused:
    """What is at hand for a shard of `rows` rows; nothing in an index that was not grown.

    Raises DamagedChunk when an unfinished index does not know any more which rows are new.
    """
    parts = [_no_rows(index, width)]
    source = _read_source(runtime.store.index_data, index, shard, rows)
    if (source >= 0).any():
        parts += _read_old(runtime, index, np.sort(source[source >= 0]), width)
    found = np.concatenate([part.rows for part in parts])
    order = np.argsort(found, kind="stable")
    places = np.flatnonzero(np.isin(source, found))
    picks = order[np.searchsorted(found[order], source[places])]
    codes = join_codes([part.codes for part in parts]).take(picks)
    return Reused(places, codes, np.concatenate([part.losses for part in parts])[picks], source < 0)


def read_shard(data: IndexData, index: Index, shard: int, count: int, width: int) -> StoredRows:
    """One shard of `count` kept rows of a compact index. Raises DamagedChunk."""

    def read(part: str, shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
        return data.read_rows(index.id, shard, part, shape, dtype)

    codes = Codes(
        values=read("values", (count, width), "int8"),
        scales=read("scales", (count,), "float32").astype(np.float32, copy=False),
        norms=read("norms", (count, len(index.blocks)), "uint16").astype(np.uint16, copy=False),
    )
    losses = read("losses", (count,), "float32").astype(np.float32, copy=False)
    return StoredRows(read_kept(data, index, shard, count), codes, losses)


def read_kept(data: IndexData, index: Index, shard: int, count: int) -> NDArray[np.int64]:
    """Data set rows (count,) that a shard keeps. Raises DamagedChunk."""
    return data.read_rows(index.id, shard, "kept", (count,), "int64").astype(np.int64, copy=False)


def _read_source(data: IndexData, index: Index, shard: int, rows: int) -> NDArray[np.int64]:
    if index.growth is None:
        return np.full(rows, -1, np.int64)
    try:
        return data.read_rows(index.id, shard, SOURCE, (rows,), "int64").astype(np.int64, copy=False)
    except DamagedChunk:
        if index.state != "succeeded":
            raise
        # The moments of a finished index are summed; all that is wanted are the rows' codes, which can be computed.
        return np.full(rows, -1, np.int64)


def _read_old(runtime: Runtime, index: Index, rows: NDArray[np.int64], width: int) -> list[StoredRows]:
    old = _find_old(runtime, index)
    if old is None:
        return []
    data = runtime.store.index_data
    commits, found = data.commits(old.id), []
    for shard in np.unique(rows // old.rows_per_shard).tolist():
        if shard not in commits:
            continue
        try:
            stored = read_shard(data, old, shard, commits[shard].rows, width)
        except DamagedChunk:
            continue
        picks = np.flatnonzero(np.isin(stored.rows, rows))
        found.append(StoredRows(stored.rows[picks], stored.codes.take(picks), stored.losses[picks]))
    # An index that was deleted and built again meanwhile has the same id and another basis.
    return found if _find_old(runtime, index) is not None else []


def _find_old(runtime: Runtime, index: Index) -> Index | None:
    assert index.growth is not None
    old = runtime.store.indexes.find(index.growth.grown_from)
    is_same = old is not None and old.job_id == index.growth.grown_from_job and old.state == "succeeded"
    return old if is_same else None


def _no_rows(index: Index, width: int) -> StoredRows:
    codes = Codes(np.zeros((0, width), np.int8), np.zeros(0, np.float32), np.zeros((0, len(index.blocks)), np.uint16))
    return StoredRows(np.zeros(0, np.int64), codes, np.zeros(0, np.float32))
