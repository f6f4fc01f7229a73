"""Labels taken together: figures per class, and given against predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import Columns
from influence.ranking.order import lowest_rows

#: A summary names so many classes at most, those with the highest mean suspicion.
MAX_CLASSES = 1000
#: A confusion matrix is drawn for so many classes at most.
MAX_CONFUSION_CLASSES = 256
SUSPECTS_A_CLASS = 3


@dataclass(frozen=True)
class ClassFigures:
    """Figures of the rows with one label; `suspects` are positions of the most suspicious, most suspicious first."""

    label: int
    rows: int
    mean_loss: float
    accuracy: float | None
    mean_suspicion: float
    suspects: NDArray[np.int64]


def summarise_classes(columns: Columns) -> list[ClassFigures]:
    """Figures of each label that stands in `label` (n,), in the order of the classes."""
    labels, place, counts = np.unique(columns["label"], return_inverse=True, return_counts=True)
    suspicion = _means(columns["suspicion"], place, counts)
    loss = _means(columns["loss"], place, counts)
    right = None
    if "predicted" in columns:
        right = _means(columns["predicted"] == columns["label"], place, counts)
    order = np.argsort(place, kind="stable")
    stops = np.cumsum(counts)
    shown = np.sort(lowest_rows(-suspicion, min(MAX_CLASSES, len(labels))))
    return [
        ClassFigures(
            label=int(labels[at]),
            rows=int(counts[at]),
            mean_loss=float(loss[at]),
            accuracy=None if right is None else float(right[at]),
            mean_suspicion=float(suspicion[at]),
            suspects=_most_suspicious(columns["suspicion"], order[stops[at] - counts[at] : stops[at]]),
        )
        for at in shown
    ]


def _means(values: NDArray[Any], place: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.bincount(place, weights=values.astype(np.float64)) / counts
    return means


def _most_suspicious(suspicion: NDArray[Any], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    return positions[lowest_rows(-suspicion[positions], min(SUSPECTS_A_CLASS, len(positions)))]


def count_confusions(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Labels (c,) that are given or predicted, and counts (c, c) of given against predicted.

    None where they are more than `MAX_CONFUSION_CLASSES`.
    """
    given, predicted = columns["label"], columns["predicted"]
    labels = np.union1d(given, predicted)
    if len(labels) > MAX_CONFUSION_CLASSES:
        return None
    cells = np.searchsorted(labels, given) * len(labels) + np.searchsorted(labels, predicted)
    counts = np.bincount(cells, minlength=len(labels) ** 2).reshape(len(labels), len(labels))
    return labels.astype(np.int64), counts
