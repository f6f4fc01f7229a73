"""Kronecker factors of an index of full storage: summed with the gradients, merged when the build ends."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from influence.errors import MethodNotOffered
from influence.methods.algebra.kronecker_factors import KroneckerSums, Pair, unpack_sums
from influence.store.data.chunks import DamagedChunk
from influence.store.data.indexes import IndexData
from workers.gradients.collector import RowGradients
from workers.runtime.state import Runtime

#: Group of arrays that an index keeps beside its shards.
KRONECKER = "kronecker"


def shard_kronecker(shard: int) -> str:
    """Group that holds a shard's factors until the index is finished."""
    return f"{KRONECKER}-{shard}"


class ShardFactors:
    """Factors of one shard, summed in float64 on the device.

    Only rows that stay count. A batch's factors are one sum, so a batch with a row that is left out does not enter:
    its other rows are in `again`, places in the shard, to be taken once more without that row.
    """

    def __init__(self) -> None:
        self.again: list[int] = []
        self._rows = 0
        self._sums: dict[int, tuple[Tensor, Tensor]] = {}
        self._without: set[int] = set()

    def put(self, places: Sequence[int], found: RowGradients, keep: NDArray[np.bool_]) -> None:
        """Take one micro-batch; `keep` (rows of the shard,) says which of its rows stay."""
        if keep[places].all():
            self.add(found)
        else:
            self.again += [place for place in places if keep[place]]

    def add(self, found: RowGradients) -> None:
        """Take a micro-batch all of whose rows stay."""
        self._rows += len(found.losses)
        for number, (name, gradients) in enumerate(found.blocks.items()):
            if name in found.factors:
                self._add_block(number, found.factors[name])
            elif bool(gradients.any()):  # a weight that no row of the batch used has nothing to add
                self._without.add(number)

    def _add_block(self, number: int, factors: tuple[Tensor, Tensor]) -> None:
        left, right = (factor.double() for factor in factors)
        if number in self._sums:
            self._sums[number][0].add_(left)
            self._sums[number][1].add_(right)
        else:
            self._sums[number] = (left, right)

    def sums(self) -> KroneckerSums:
        """What was taken, on the host."""
        kept = {number: pair for number, pair in self._sums.items() if number not in self._without}
        factors = {number: (left.cpu().numpy(), right.cpu().numpy()) for number, (left, right) in kept.items()}
        return KroneckerSums(self._rows, factors, frozenset(self._without))


def merge_kronecker(runtime: Runtime, index: Index) -> KroneckerSums:
    """Add the shards' factors up, keep the sum, drop the parts. Safe to run twice."""
    data, total = runtime.store.index_data, KroneckerSums()
    for shard in range(index.shards):
        part = data.read_unmerged(index.build, shard_kronecker(shard), KRONECKER)
        if not part:
            # An earlier run got this far.
            return unpack_sums(data.read_parts(index.build, KRONECKER))
        total = total + unpack_sums(part)
    data.write_parts(index.build, KRONECKER, total.pack())
    for shard in range(index.shards):
        data.delete_parts(index.build, shard_kronecker(shard))
    return total


def read_factors(data: IndexData, index: Index) -> dict[str, Pair]:
    """Factors by block, means over the rows; none where the index was built without. Raises MethodNotOffered."""
    if not index.spec.kronecker:
        return {}
    try:
        arrays = data.require_parts(index.build, KRONECKER)
    except DamagedChunk as damage:
        raise MethodNotOffered(
            f"The Kronecker factors of {index.id} are lost: {damage}.",
            hint="Delete the index and build it again with kronecker true, or use another method.",
        ) from damage
    return unpack_sums(arrays).means([block.name for block in index.blocks])
