"""Full storage: a shard's gradients as they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.index import Index
from influence.evaluating.gradient_lengths import sum_lengths
from workers.building.kronecker import ShardFactors, shard_kronecker
from workers.gradients.collector import RowGradients
from workers.runtime.state import Runtime


class FullShard:
    """Collects gradients (rows, d_l) a block in the storage dtype, norms and losses of one shard's rows."""

    def __init__(self, runtime: Runtime, index: Index, shard: int, rows: int) -> None:
        self._data = runtime.store.index_data
        self._index = index
        self._shard = shard
        self._gradients: list[NDArray[np.generic]] = [
            np.empty((rows, block.parameters), dtype=index.spec.storage_dtype) for block in index.blocks
        ]
        self._norms = np.zeros((rows, len(index.blocks)))
        self._losses = np.zeros(rows, dtype=np.float32)
        self.keep = np.ones(rows, dtype=np.bool_)
        self.wanted = np.arange(rows)
        # The factors of an index that was ready hold those of a shard that is computed again.
        self.factors = ShardFactors() if index.spec.kronecker and index.ready_at is None else None

    def put(self, positions: Sequence[int], found: RowGradients) -> None:
        """Take one micro-batch; rows that the storage dtype cannot hold are marked as not finite."""
        self._losses[positions] = found.losses.float().cpu().numpy()
        self.keep[[positions[row] for row in found.find_non_finite()]] = False
        for block, gradients in enumerate(found.blocks.values()):
            values = gradients.cpu().numpy()
            self._norms[positions, block] = np.einsum("nd,nd->n", values, values, dtype=np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                stored = values.astype(self._gradients[block].dtype, copy=False)
            if stored.dtype != values.dtype:
                self.keep[positions] &= np.isfinite(stored).all(axis=1)
            self._gradients[block][positions] = stored
        if self.factors is not None:
            self.factors.put(positions, found, self.keep)

    @property
    def squared_norm_sums(self) -> NDArray[np.float64]:
        """Sum over kept rows, a block."""
        total: NDArray[np.float64] = self._norms[self.keep].sum(axis=0)
        return total

    @property
    def length_sums(self) -> tuple[float, float]:
        """Sums over all kept rows of their gradients' lengths, and of the squares of those."""
        return sum_lengths(self._norms[self.keep])

    @property
    def drift(self) -> dict[str, Any]:
        """Full storage has no basis to drift from."""
        return {}

    def write(self) -> tuple[int, int]:
        """Write the kept rows; answers (bytes, pieces)."""
        row_indexes = self._shard * self._index.rows_per_shard + np.flatnonzero(self.keep)
        name, shard = self._index.build, self._shard
        written = [
            self._data.write_rows(name, shard, "kept", row_indexes.astype(np.int64)),
            self._data.write_rows(name, shard, "norms", self._norms[self.keep].astype(np.float32)),
            self._data.write_rows(name, shard, "losses", self._losses[self.keep]),
        ]
        for block, gradients in enumerate(self._gradients):
            kept = gradients if self.keep.all() else gradients[self.keep]
            written.append(self._data.write_gradients(name, shard, block, kept))
        if self.factors is not None:
            self._data.write_parts(name, shard_kronecker(shard), self.factors.sums().pack())
        return sum(size for size, _ in written), sum(pieces for _, pieces in written)
