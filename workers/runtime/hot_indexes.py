"""Hot indexes: everything a query reads, in memory, under a budget; the least recently used leaves first."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from influence.process.lru import Lru

#: Test points scored in one pass; bounds what a pass holds in memory.
POINTS_PER_PASS = 32
#: Influence (m, n) float32 of an index's rows on test gradients (m, d) a block.
Scorer: TypeAlias = Callable[[Mapping[str, Tensor]], NDArray[np.float32]]
#: True gradients (r, D) of data set rows (r,), all blocks joined.
ReadGradients: TypeAlias = Callable[[NDArray[np.int64]], Tensor]
#: Id and build of an index, and what of it is kept.
HotKey: TypeAlias = tuple[str, str, str]


class InMemory(Protocol):
    """What is kept under a bound of bytes."""

    @property
    def bytes(self) -> int: ...


class HotIndex(InMemory, Protocol):
    """The rows of an index in memory, whatever its storage: positions are places in the index, rows data set rows.

    `row_indexes` (n,) ascending, `losses` (n,) each row's own. `on_device`: scoring takes the worker's device.
    """

    on_device: ClassVar[bool]
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]

    def prepare(self, method: str, damping_scale: float | None) -> object:
        """Make and keep what all queries of a method at one damping share. Raises MethodNotOffered."""

    def scorer(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Scorer:
        """Scores all rows for test gradients, prepared already; without `keep` what was prepared is not kept."""

    def block_contributions(
        self,
        method: str,
        damping_scale: float | None,
        test: Mapping[str, Tensor],
        positions: NDArray[np.int64],
        read_gradients: ReadGradients,
    ) -> NDArray[np.float64]:
        """The blocks' parts (blocks, m, r) of the exact influence of some rows on test gradients (m, d) per block.

        `read_gradients` gives true gradients of rows to a storage that does not hold them.
        """

    def directions(self, method: str, damping_scale: float | None, test: Mapping[str, Tensor]) -> list[Tensor]:
        """What test gradients (m, d) per block become, block by block: a row's score is its true gradient's inner
        product with them, for a method that is linear in the row."""

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves. Raises MethodNotOffered for a method without."""


Kept = TypeVar("Kept", bound=InMemory)


class HotIndexes:
    """Hot indexes by id and build. One larger than the whole budget stays as long as no other is asked for."""

    def __init__(self, budget_bytes: int) -> None:
        self._hot: Lru[HotKey, Any] = Lru(budget_bytes, size_of=lambda index: int(index.bytes))

    @property
    def bytes(self) -> int:
        """Memory that hot indexes take now."""
        return self._hot.size

    def get(self, index: Index, load: Callable[[], Kept], *, what: str = "gradients") -> Kept:
        """The hot index, loaded by `load` when it is not here; `what` tells apart what is made of one index's rows."""
        hot: Kept = self._hot.get((index.id, index.job_id, what), load)
        return hot

    def holds(self, index: Index, *, what: str = "gradients") -> bool:
        """Whether `get` would find it at once."""
        return (index.id, index.job_id, what) in self._hot

    def builds(self) -> set[tuple[str, str]]:
        """Ids and builds of the indexes that something is kept of."""
        return {(key[0], key[1]) for key in self._hot}

    def forget(self, index_id: str) -> None:
        """Drop an index that was deleted."""
        self._hot.forget(lambda key: key[0] == index_id)
