"""Which rows of an audit to look at, by its own figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import Columns

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
