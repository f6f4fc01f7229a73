"""Recomputed gradients kept hot: the same rows top many queries."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

RowKey = tuple[str, int]


class GradientCache:
    """Gradients of single rows, all blocks joined (D,), by (index, row); the least recently used leave."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._bytes = 0
        self._rows: OrderedDict[RowKey, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def missing(self, index_id: str, rows: Sequence[int]) -> list[int]:
        """Rows that would have to be computed."""
        with self._lock:
            return [row for row in rows if (index_id, row) not in self._rows]

    def get(self, index_id: str, rows: Sequence[int], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """Gradients (len(rows), D) in order; `compute` gives those that are not here."""
        with self._lock:
            known = {row: self._rows[index_id, row] for row in rows if (index_id, row) in self._rows}
            for row in known:
                self._rows.move_to_end((index_id, row))
        needed = [row for row in rows if row not in known]
        if needed:
            computed = compute(needed)
            known.update(zip(needed, computed, strict=True))
            self._keep(index_id, needed, computed)
        return torch.stack([known[row] for row in rows])

    def _keep(self, index_id: str, rows: Sequence[int], gradients: Tensor) -> None:
        with self._lock:
            for row, values in zip(rows, gradients, strict=True):
                if (index_id, row) not in self._rows:
                    self._rows[index_id, row] = values.clone()
                    self._bytes += values.nbytes
            while self._bytes > self._budget_bytes and self._rows:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes
