"""Which rows of an audit to look at, and in which order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import Columns
from influence.ranking import lowest_rows

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class RowFilter:
    """Conditions that all have to hold; None asks nothing."""

    label: int | None = None
    predicted: int | None = None
    disagree: bool | None = None
    min_suspicion: float | None = None

    @property
    def columns(self) -> set[str]:
        """The columns that `find` looks at, beside `suspicion`."""
        asked = {"label": self.label, "predicted": self.predicted, "disagree": self.disagree}
        needs = {"label": {"label"}, "predicted": {"predicted"}, "disagree": {"label", "predicted"}}
        return set().union(*(needs[name] for name, value in asked.items() if value is not None))

    def find(self, columns: Columns) -> Positions:
        """Positions of the rows that fit, in row order."""
        fits = np.ones(len(columns["suspicion"]), dtype=np.bool_)
        if self.label is not None:
            fits &= columns["label"] == self.label
        if self.predicted is not None:
            fits &= columns["predicted"] == self.predicted
        if self.disagree is not None:
            fits &= (columns["label"] != columns["predicted"]) == self.disagree
        if self.min_suspicion is not None:
            fits &= columns["suspicion"] >= np.float32(self.min_suspicion)
        return np.flatnonzero(fits)


def sort_slice(values: NDArray[Any], positions: Positions, *, descending: bool, offset: int, length: int) -> Positions:
    """Positions offset .. offset + length of those given, sorted by `values` (n,); equal values in row order."""
    stop = min(offset + length, len(positions))
    if offset >= stop:
        return positions[:0]
    chosen = values[positions]
    return positions[lowest_rows(-chosen if descending else chosen, stop)[offset:]]
