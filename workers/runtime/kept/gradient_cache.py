"""Recomputed gradients kept hot: the same rows top many queries."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from influence.contracts.index import Index
from influence.process.lru import Lru

#: Id and build of an index, data set row.
RowKey = tuple[str, str, int]
_FEWEST_TIMED = 8


class GradientCache:
    """Gradients of single rows, all blocks joined (D,), by index and row; the least recently used leave."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._rows: Lru[RowKey, Tensor] = Lru(budget_bytes, size_of=lambda values: values.nbytes)
        self._rates: dict[str, float] = {}

    @property
    def bytes(self) -> int:
        """Memory that the gradients take now."""
        return self._rows.size

    def missing(self, index: Index, rows: Sequence[int]) -> list[int]:
        """Rows that would have to be computed."""
        return [row for row in rows if (index.id, index.job_id, row) not in self._rows]

    def get(
        self,
        index: Index,
        rows: Sequence[int],
        compute: Callable[[list[int]], Tensor],
        confirm: Callable[[], None],
    ) -> Tensor:
        """Gradients (len(rows), D) in order; `compute` gives those that are not here, (fewer rows, D).

        `confirm` is called after new ones were kept. Raises what the two raise.
        """
        known = {row: values for row in rows if (values := self._rows.find(_key_of(index, row))) is not None}
        needed = [row for row in rows if row not in known]
        if needed:
            computed = compute(needed)
            known.update(zip(needed, computed, strict=True))
            for row, values in zip(needed, computed, strict=True):
                if values.nbytes <= self._budget_bytes:
                    self._rows.put(_key_of(index, row), values.clone())
            confirm()
        return torch.stack([known[row] for row in rows])

    def note_rate(self, index: Index, rows: int, seconds: float) -> None:
        """Keep how fast rows of an index were computed; a handful says little."""
        if rows >= _FEWEST_TIMED and seconds > 0:
            self._rates[index.id] = rows / seconds

    def rate(self, index: Index) -> float | None:
        """Rows per second, where some were computed here."""
        return self._rates.get(index.id)

    def builds(self) -> set[tuple[str, str]]:
        """Ids and builds of the indexes that something is kept of."""
        return {(key[0], key[1]) for key in self._rows}

    def forget(self, index_id: str) -> None:
        """Drop the rows of an index that was deleted."""
        self._rates.pop(index_id, None)
        self._rows.forget(lambda key: key[0] == index_id)


def _key_of(index: Index, row: int) -> RowKey:
    return index.id, index.job_id, row
