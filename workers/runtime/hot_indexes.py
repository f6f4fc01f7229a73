"""Hot indexes: everything a query reads, in memory, under a budget; the least recently used leaves first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: Influence (m, n) float32 of an index's rows on test gradients (m, d) a block.
Scorer: TypeAlias = Callable[[Mapping[str, Tensor]], NDArray[np.float32]]


class HotIndex(Protocol):
    """What both kinds of storage have in memory: positions are places in the index, rows are data set rows."""

    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]

    @property
    def bytes(self) -> int: ...


AnyIndex = TypeVar("AnyIndex", bound=HotIndex)


class HotIndexes:
    """Hot indexes by id. Loading happens once even when many queries ask at once."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._hot: OrderedDict[str, Any] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._mutex = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory that hot indexes take now."""
        with self._mutex:
            return sum(int(index.bytes) for index in self._hot.values())

    def get(self, index_id: str, load: Callable[[], AnyIndex]) -> AnyIndex:
        """The hot index, loaded by `load` when it is not here."""
        with self._loading_lock(index_id):
            with self._mutex:
                if index_id in self._hot:
                    self._hot.move_to_end(index_id)
                    found: AnyIndex = self._hot[index_id]
                    return found
            index = load()
            with self._mutex:
                self._hot[index_id] = index
                self._evict(keep=index_id)
            return index

    def holds(self, index_id: str) -> bool:
        """Whether `get` would find it at once."""
        with self._mutex:
            return index_id in self._hot

    def forget(self, index_id: str) -> None:
        """Drop an index that was deleted."""
        with self._mutex:
            self._hot.pop(index_id, None)

    def _loading_lock(self, index_id: str) -> threading.Lock:
        with self._mutex:
            return self._loading.setdefault(index_id, threading.Lock())

    def _evict(self, *, keep: str) -> None:
        """An index larger than the whole budget still serves the query that asked for it."""
        while sum(index.bytes for index in self._hot.values()) > self._budget_bytes:
            oldest = next(iter(self._hot))
            if oldest == keep:
                return
            del self._hot[oldest]
