"""Hot indexes: everything a query reads, in memory, under a budget; the least recently used leaves first."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from influence.contracts.index import Index
from workers.runtime.lru import Lru

#: Influence (m, n) float32 of an index's rows on test gradients (m, d) a block.
Scorer: TypeAlias = Callable[[Mapping[str, Tensor]], NDArray[np.float32]]
#: Id and build of an index, and what of it is kept.
HotKey: TypeAlias = tuple[str, str, str]


class HotIndex(Protocol):
    """What both kinds of storage have in memory: positions are places in the index, rows are data set rows."""

    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]

    @property
    def bytes(self) -> int: ...


AnyIndex = TypeVar("AnyIndex", bound=HotIndex)


class HotIndexes:
    """Hot indexes by id and build. One larger than the whole budget stays as long as no other is asked for."""

    def __init__(self, budget_bytes: int) -> None:
        self._hot: Lru[HotKey, Any] = Lru(budget_bytes, size_of=lambda index: int(index.bytes))

    @property
    def bytes(self) -> int:
        """Memory that hot indexes take now."""
        return self._hot.size

    def get(self, index: Index, load: Callable[[], AnyIndex], *, what: str = "gradients") -> AnyIndex:
        """The hot index, loaded by `load` when it is not here; `what` tells apart what is made of one index's rows."""
        found: AnyIndex = self._hot.get((index.id, index.job_id, what), load)
        return found

    def holds(self, index: Index, *, what: str = "gradients") -> bool:
        """Whether `get` would find it at once."""
        return (index.id, index.job_id, what) in self._hot

    def forget(self, index_id: str) -> None:
        """Drop an index that was deleted."""
        self._hot.forget(lambda key: key[0] == index_id)
