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
from influence.store.data.chunks import DamagedChunk
from influence.store.data.indexes import IndexData
from workers.building.compact_rows import CompactRows
from workers.runtime.basis_sample import SOURCE
from workers.runtime.state import Runtime


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
    parts = [CompactRows.allocate(0, width, len(index.blocks), index.spec.code_dtype)]
    source = _read_source(runtime.store.index_data, index, shard, rows)
    if (source >= 0).any():
        parts += _read_old(runtime, index, np.sort(source[source >= 0]), width)
    found = np.concatenate([part.row_indexes for part in parts])
    order = np.argsort(found, kind="stable")
    places = np.flatnonzero(np.isin(source, found))
    picks = order[np.searchsorted(found[order], source[places])]
    codes = join_codes([part.codes for part in parts]).take(picks)
    return Reused(places, codes, np.concatenate([part.losses for part in parts])[picks], source < 0)


def read_kept(data: IndexData, index: Index, shard: int, count: int) -> NDArray[np.int64]:
    """Data set rows (count,) that a shard keeps. Raises DamagedChunk."""
    return data.read_rows(index.build, shard, "kept", (count,), "int64").astype(np.int64, copy=False)


def _read_source(data: IndexData, index: Index, shard: int, rows: int) -> NDArray[np.int64]:
    if index.growth is None:
        return np.full(rows, -1, np.int64)
    try:
        return data.read_rows(index.build, shard, SOURCE, (rows,), "int64").astype(np.int64, copy=False)
    except DamagedChunk:
        if index.ready_at is None:
            raise
        # The moments of an index that was ready are summed; all that is wanted are codes, which can be computed.
        return np.full(rows, -1, np.int64)


def _read_old(runtime: Runtime, index: Index, rows: NDArray[np.int64], width: int) -> list[CompactRows]:
    old = _find_old(runtime, index)
    if old is None:
        return []
    data = runtime.store.index_data
    commits, found = data.commits(old.build), []
    for shard in np.unique(rows // old.rows_per_shard).tolist():
        if shard not in commits:
            continue
        stored = CompactRows.allocate(commits[shard].rows, width, len(index.blocks))
        try:
            stored.read(data, old.build, shard)
        except DamagedChunk:
            continue
        picks = np.flatnonzero(np.isin(stored.row_indexes, rows))
        found.append(CompactRows(stored.codes.take(picks), stored.row_indexes[picks], stored.losses[picks]))
    # An index that was deleted and built again meanwhile has the same id and another basis.
    return found if _find_old(runtime, index) is not None else []


def _find_old(runtime: Runtime, index: Index) -> Index | None:
    assert index.growth is not None
    old = runtime.store.indexes.find(index.growth.grown_from)
    is_same = old is not None and old.build == f"{old.id}.{index.growth.grown_from_job}" and old.state == "succeeded"
    return old if is_same else None
