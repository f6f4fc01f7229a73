"""How well influence finds the planted wrong labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Findings:
    """`found` of `planted` wrong rows stand among the `looked_at` most harmful of `rows`.

    `auc` is the chance that a wrong row counts as more harmful than a right one.
    """

    rows: int
    planted: int
    looked_at: int
    found: int
    auc: float

    @property
    def precision(self) -> float:
        return self.found / self.looked_at

    @property
    def recall(self) -> float:
        return self.found / self.planted


def judge(influence: NDArray[np.float64], wrong: Sequence[bool], share: float = 0.1) -> Findings:
    """Judge influence on the mean held-out loss (n), positive = harmful, by the rows known to be wrong (n)."""
    marks = np.asarray(wrong, dtype=bool)
    looked_at = round(share * len(marks))
    most_harmful = np.argsort(-influence, kind="stable")[:looked_at]
    return Findings(len(marks), int(marks.sum()), looked_at, int(marks[most_harmful].sum()), area(influence, marks))


def area(values: NDArray[np.float64], marks: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of `values` for the marked; ties count half."""
    marked, others = values[marks], np.sort(values[~marks])
    below = np.searchsorted(others, marked, side="left")
    up_to = np.searchsorted(others, marked, side="right")
    return float((below + up_to).mean() / 2 / len(others))
