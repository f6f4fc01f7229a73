"""What speaks for a wrong label, from the columns that an audit has of every row.

A column is an array (n,), one entry a row: `loss`, `self_influence`, `influence` float32; `label` and `predicted`
int32 classes; `probability` of the given label and `other_probability`, that of the likeliest other one, float32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.audit import Signal, SignalUse
from influence.contracts.tasks import TASKS, TaskName

Columns = Mapping[str, NDArray[Any]]

#: In the order in which they are shown.
MEANINGS: dict[Signal, str] = {
    "loss": "The row's own training loss: high where the model does not believe the label.",
    "self_influence": "The row's score on itself: high when the model had to fit this row individually.",
    "influence": "Influence on the mean evaluation loss: positive where training on the row raised it.",
    "margin": "1 - probability of the given label + that of the likeliest other one: above 1 where another wins.",
    "probability": "Probability of the given label: low where the model does not believe it.",
    "predicted": "Whether the model answers another label than the given one.",
}

#: Signals that need rows with one of a few classes.
CLASS_SIGNALS: frozenset[Signal] = frozenset({"margin", "probability", "predicted"})


#: Of a classifier these order rows alike, to a rank correlation above 0.99 where it was measured: the first of them
#: that is there counts for all.
_ALIKE: tuple[Signal, ...] = ("loss", "margin", "probability")


def default_weights(names: tuple[Signal, ...], *, are_named: bool) -> dict[Signal, float]:
    """How much each signal counts in suspicion where nobody says.

    Signals that somebody names count 1 each, those that say the same thing once. Else the loss counts alone: with
    anything beside it fewer wrong labels stood at the top (docs/decisions/0003-audits.md).
    """
    counted = [name for name in names if name not in _ALIKE] if are_named else []
    counted += [name for name in _ALIKE if name in names][:1]
    return {name: float(name in counted) for name in names}


def has_classes(task: TaskName) -> bool:
    """Whether each row of a task carries one of a few classes."""
    return TASKS[task].has_classes


def offered_signals(task: TaskName) -> tuple[Signal, ...]:
    """Signals that a task's rows can have."""
    return tuple(name for name in MEANINGS if has_classes(task) or name not in CLASS_SIGNALS)


def describe_signals(names: tuple[Signal, ...], weights: Mapping[Signal, float]) -> tuple[SignalUse, ...]:
    """Signals with meaning and weight, in the order of `MEANINGS`; a weight that is not given is 1."""
    return tuple(
        SignalUse(name=name, meaning=meaning, weight=weights.get(name, 1.0))
        for name, meaning in MEANINGS.items()
        if name in names
    )


def measure_oddness(signal: Signal, columns: Columns) -> NDArray[Any]:
    """A signal (n,) turned so that higher is more suspicious."""
    if signal == "margin":
        return margins(columns)
    if signal == "probability":
        return -columns["probability"]
    if signal == "predicted":
        return np.not_equal(columns["predicted"], columns["label"])
    return columns[signal]


def margins(columns: Columns) -> NDArray[Any]:
    """1 - probability of the given label + the likeliest other's, in 0..2 (n,)."""
    return np.float32(1) - columns["probability"] + columns["other_probability"]


def predicted_probabilities(columns: Columns) -> NDArray[Any]:
    """Probability of the predicted label (n,): the given label's where the model agrees, else the best other's."""
    agrees = columns["predicted"] == columns["label"]
    return np.where(agrees, columns["probability"], columns["other_probability"])
