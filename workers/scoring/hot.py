"""Hot indexes: everything a query reads, in memory, under a budget; the least recently used leaves first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.methods.base import Method, Scores
from influence.methods.blocks import TrainBlock

#: Prepared states kept an index: methods and dampings that people switch between.
_STATES_KEPT = 4


@dataclass
class HotIndex:
    """An index in memory.

    `blocks` holds the training gradients (or codes) on the worker's device, `row_indexes` (n,) the data set rows
    they belong to, `losses` (n,) each row's own loss.
    """

    blocks: Mapping[str, TrainBlock]
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]
    bytes: int
    _states: OrderedDict[tuple[str, float | None], Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def score(
        self,
        method: Method[Any],
        damping_scale: float | None,
        test: Mapping[str, Any],
        *,
        rows: NDArray[np.int64] | None = None,
        per_block: bool = False,
    ) -> Scores:
        """Influence of all rows (or of `rows`, positions in this index) on test gradients (m, d) a block."""
        return method.apply(self._state(method, damping_scale), test, rows=rows, per_block=per_block)

    def _state(self, method: Method[Any], damping_scale: float | None) -> Any:
        key = (method.name, damping_scale)
        with self._lock:
            if key not in self._states:
                while len(self._states) >= _STATES_KEPT:
                    self._states.popitem(last=False)
                self._states[key] = method.prepare(self.blocks, damping_scale)
            self._states.move_to_end(key)
            return self._states[key]


class HotIndexes:
    """Hot indexes by id. Loading happens once even when many queries ask at once."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._hot: OrderedDict[str, HotIndex] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._mutex = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory that hot indexes take now."""
        with self._mutex:
            return sum(index.bytes for index in self._hot.values())

    def get(self, index_id: str, load: Callable[[], HotIndex]) -> HotIndex:
        """The hot index, loaded by `load` when it is not here."""
        with self._loading_lock(index_id):
            with self._mutex:
                if index_id in self._hot:
                    self._hot.move_to_end(index_id)
                    return self._hot[index_id]
            index = load()
            with self._mutex:
                self._hot[index_id] = index
                self._evict(keep=index_id)
            return index

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
