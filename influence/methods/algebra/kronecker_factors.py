"""Kronecker factors of an index: sums over its rows that say in which directions a weight's gradients spread.

For a weight (p, q) whose gradients are sums over positions of `left right'`, the factors are the sums over rows and
positions of `left left'` (p, p) and `right right'` (q, q). Shards merge by adding, as the moments of codes do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Pair = tuple[Float64s, Float64s]


@dataclass(frozen=True, slots=True)
class KroneckerSums:
    """Sums over `rows` rows, float64, by block number; `without` are the blocks whose gradients have no such form."""

    rows: int = 0
    factors: Mapping[int, Pair] = field(default_factory=dict)
    without: frozenset[int] = frozenset()

    def __add__(self, other: "KroneckerSums") -> "KroneckerSums":
        without = self.without | other.without
        blocks = sorted((self.factors.keys() | other.factors.keys()) - without)
        return KroneckerSums(self.rows + other.rows, {block: self._added(other, block) for block in blocks}, without)

    def _added(self, other: "KroneckerSums", block: int) -> Pair:
        """A block that no row of a shard used is in the other's sum alone."""
        mine, theirs = self.factors.get(block), other.factors.get(block)
        if mine is None or theirs is None:
            found = theirs if mine is None else mine
            assert found is not None
            return found
        return mine[0] + theirs[0], mine[1] + theirs[1]

    @property
    def nbytes(self) -> int:
        return sum(left.nbytes + right.nbytes for left, right in self.factors.values())

    def means(self, names: Sequence[str]) -> dict[str, Pair]:
        """The factors as means over rows, by the name of the block."""
        count = max(self.rows, 1)
        return {names[block]: (left / count, right / count) for block, (left, right) in self.factors.items()}

    def pack(self) -> dict[str, NDArray[Any]]:
        """Named arrays to store."""
        arrays: dict[str, NDArray[Any]] = {
            "rows": np.asarray([self.rows], np.int64),
            "without": np.asarray(sorted(self.without), np.int64),
        }
        for block, (left, right) in self.factors.items():
            arrays |= {f"left-{block}": left, f"right-{block}": right}
        return arrays


def unpack_sums(arrays: Mapping[str, NDArray[Any]]) -> KroneckerSums:
    """The sums that were packed."""
    blocks = sorted(int(name.removeprefix("left-")) for name in arrays if name.startswith("left-"))
    factors = {block: (arrays[f"left-{block}"], arrays[f"right-{block}"]) for block in blocks}
    return KroneckerSums(int(arrays["rows"][0]), factors, frozenset(arrays["without"].tolist()))
