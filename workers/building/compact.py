"""Compact storage: a shard's gradients as codes in the index's basis, quantised, with exact norms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.codes import decode_norms
from influence.compact.encoder import Projected
from influence.compact.growth import missed_energy
from influence.compact.packing import pack_moments
from influence.contracts.index import Index
from influence.evaluating.gradient_lengths import sum_lengths
from workers.building.growth_rows import read_reused
from workers.gradients.collector import RowGradients
from workers.runtime.basis_sample import Sample, shard_moments
from workers.runtime.state import Runtime


class CompactShard:
    """Projects micro-batches as they come; rows that the plan computed already are taken from the sample."""

    def __init__(self, runtime: Runtime, index: Index, shard: int, rows: int) -> None:
        self._data = runtime.store.index_data
        self._index = index
        self._shard = shard
        self._encoder, sample = runtime.encoders.get(self._data, index)
        self._codes = np.zeros((rows, self._encoder.basis.width), dtype=np.float32)
        self._norms = np.zeros((rows, len(index.blocks)), dtype=np.float32)
        self._losses = np.zeros(rows, dtype=np.float32)
        self.keep = np.ones(rows, dtype=np.bool_)
        self.factors = None
        self._reused = read_reused(runtime, index, shard, rows, self._encoder.layout.width)
        known = np.union1d(self._take_sample(sample, rows), self._reused.places)
        self._losses[self._reused.places] = self._reused.losses
        self._norms[self._reused.places] = decode_norms(self._reused.codes.norms)
        self.wanted = np.setdiff1d(np.arange(rows), known)

    def _take_sample(self, sample: Sample, rows: int) -> NDArray[np.int64]:
        start = self._shard * self._index.rows_per_shard
        inside = np.flatnonzero((sample.rows >= start) & (sample.rows < start + rows))
        places: NDArray[np.int64] = sample.rows[inside] - start
        self._codes[places] = sample.projected.codes[inside]
        self._norms[places] = sample.projected.squared_norms[inside]
        self._losses[places] = sample.losses[inside]
        return places

    def put(self, positions: Sequence[int], found: RowGradients) -> None:
        """Take one micro-batch; `positions` are places in the shard."""
        self._losses[positions] = found.losses.float().cpu().numpy()
        bad = found.find_non_finite()
        self.keep[[positions[row] for row in bad]] = False
        projected = self._encoder.project([block.float() for block in found.blocks.values()])
        self._codes[positions] = projected.codes
        self._norms[positions] = projected.squared_norms

    @property
    def squared_norm_sums(self) -> NDArray[np.float64]:
        """Sum over kept rows that are new to the moments, a block."""
        total: NDArray[np.float64] = self._norms[self._new].sum(axis=0, dtype=np.float64)
        return total

    @property
    def length_sums(self) -> tuple[float, float]:
        """Sums over all kept rows of their gradients' lengths, and of the squares of those."""
        return sum_lengths(self._norms[self.keep])

    @property
    def drift(self) -> dict[str, Any]:
        """A commit's fields on what is new to the basis: only a grown index has any."""
        if self._index.growth is None:
            return {}
        missed, energy = missed_energy(self._encoder, self._pick(self._new))
        return {"computed": int(self._new.sum()), "missed_energy": missed, "energy": energy}

    @property
    def _new(self) -> NDArray[np.bool_]:
        return self.keep & self._reused.added

    def _pick(self, rows: NDArray[np.bool_]) -> Projected:
        return Projected(self._codes, self._norms).take(rows)

    def write(self) -> tuple[int, int]:
        """Write codes of the kept rows and their share of the moments; answers (bytes, pieces)."""
        made = self.keep.copy()
        made[self._reused.places] = False
        codes = self._reused.join(self._encoder.encode(self._pick(made), self._index.spec.code_dtype), self.keep)
        row_indexes = self._shard * self._index.rows_per_shard + np.flatnonzero(self.keep)
        arrays: dict[str, NDArray[np.generic]] = {
            "kept": row_indexes.astype(np.int64),
            "losses": self._losses[self.keep],
            "values": codes.values,
            "scales": codes.scales,
            "norms": codes.norms,
        }
        written = [self._data.write_rows(self._index.build, self._shard, name, array) for name, array in arrays.items()]
        moments = self._encoder.sum_moments(self._pick(self._new))
        self._data.write_parts(self._index.build, shard_moments(self._shard), pack_moments(moments))
        return sum(size for size, _ in written), sum(pieces for _, pieces in written)
