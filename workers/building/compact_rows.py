"""The rows of a compact index, read from Redis straight to their places in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from influence.compact.codes import Codes
from influence.contracts.index import CodeDtype, ShardCommit
from influence.store.data.indexes import IndexData

#: Shards read at once: while one is copied and checked, another is on its way. More only stand in the server's queue.
_READERS = 2

#: Runs the given reading of a shard, or of the shard computed again.
ReadShard = Callable[[int, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class CompactRows:
    """Codes (n, P), data set rows `row_indexes` (n,) int64 and their own `losses` (n,) float32."""

    codes: Codes
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]

    @classmethod
    def allocate(cls, rows: int, width: int, blocks: int, dtype: CodeDtype = "int8") -> "CompactRows":
        """Room for rows of codes, not yet filled."""
        codes = Codes(np.empty((rows, width), dtype), np.empty(rows, np.float32), np.empty((rows, blocks), np.uint16))
        return cls(codes, np.empty(rows, np.int64), np.empty(rows, np.float32))

    def take(self, rows: slice) -> "CompactRows":
        """A view of consecutive rows."""
        return CompactRows(self.codes.take(rows), self.row_indexes[rows], self.losses[rows])

    def copy(self) -> "CompactRows":
        """The same rows in memory of their own."""
        codes = Codes(self.codes.values.copy(), self.codes.scales.copy(), self.codes.norms.copy())
        return CompactRows(codes, self.row_indexes.copy(), self.losses.copy())

    def read(self, data: IndexData, build: str, shard: int) -> None:
        """Fill with one shard. Raises DamagedChunk."""
        parts: dict[str, NDArray[np.generic]] = {
            "kept": self.row_indexes,
            "losses": self.losses,
            "values": self.codes.values,
            "scales": self.codes.scales,
            "norms": self.codes.norms,
        }
        data.read_shard_into(build, shard, parts)


def read_compact_rows(
    data: IndexData,
    build: str,
    commits: Sequence[ShardCommit],
    width: int,
    blocks: int,
    *,
    dtype: CodeDtype = "int8",
    read_shard: ReadShard = lambda _shard, read: read(),
    report: Callable[[int], None] = lambda _rows: None,
) -> CompactRows:
    """Rows of all shards, given by their commits in order; `report` hears of rows loaded."""
    stops = np.cumsum([commit.rows for commit in commits]).tolist()
    rows = CompactRows.allocate(stops[-1], width, blocks, dtype)

    def load(number: int) -> int:
        commit, stop = commits[number], stops[number]
        part = rows.take(slice(stop - commit.rows, stop))
        read_shard(commit.shard, lambda: part.read(data, build, commit.shard))
        return commit.rows

    with ThreadPoolExecutor(_READERS) as pool:
        for loaded in accumulate(pool.map(load, _deal(len(commits), _READERS))):
            report(loaded)
    return rows


def _deal(count: int, readers: int) -> list[int]:
    """Numbers below `count` so that each reader goes through a stretch of its own: side by side they would wait for the
    same page of a file."""
    share = -(-count // readers)
    return sorted(range(count), key=lambda number: number % share)
