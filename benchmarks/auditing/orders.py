"""Orders that an audit could show its rows in, from the signals that it has of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.auditing.signals import measure_oddness
from influence.auditing.suspicion import rank_suspicion
from influence.contracts.audit import Signal

#: Weights of the signals' ranks, by the name of an order. `predicted` with a weight above all others puts rows first
#: that the model answers otherwise.
ORDERS: dict[str, dict[Signal, float]] = {
    "loss": {"loss": 1},
    "margin": {"margin": 1},
    "self-influence": {"self_influence": 1},
    "influence": {"influence": 1},
    "loss, margin, probability, predicted, self-influence (until now)": {
        "loss": 1,
        "margin": 1,
        "probability": 1,
        "predicted": 1,
        "self_influence": 1,
    },
    "loss 1, self-influence 1": {"loss": 1, "self_influence": 1},
    "loss 1, self-influence 1/4": {"loss": 1, "self_influence": 0.25},
    "loss 1, influence 1/4": {"loss": 1, "influence": 0.25},
    "loss 1, influence 1": {"loss": 1, "influence": 1},
    "predicted first, then loss": {"predicted": 1000, "loss": 1},
    "predicted first, then self-influence": {"predicted": 1000, "self_influence": 1},
}
COUNTS = (50, 100)


def columns_of(table: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The columns of an audit's table, in row order."""
    numbers = ("loss", "self_influence", "influence", "probability", "margin")
    found: dict[str, NDArray[Any]] = {name: np.array([row[name] for row in table], np.float32) for name in numbers}
    for name in ("label", "predicted_label"):
        found[name] = np.array([str(row[name]) for row in table])
    found["predicted"] = found.pop("predicted_label")
    found["other_probability"] = found["margin"] - 1 + found["probability"]
    return found


def precisions(columns: Mapping[str, NDArray[Any]], wrong: frozenset[int]) -> dict[str, dict[int, float]]:
    """Share of wrong labels among the first so many rows, by order and count; equal ranks go by row."""
    is_wrong = np.array([place in wrong for place in range(len(columns["loss"]))])
    found = {}
    for name, weights in ORDERS.items():
        oddness: dict[str, NDArray[Any]] = {signal: measure_oddness(signal, columns) for signal in weights}
        order = np.argsort(
            -rank_suspicion(oddness, {str(name): weight for name, weight in weights.items()}), kind="stable"
        )
        found[name] = {count: float(is_wrong[order[:count]].mean()) for count in COUNTS}
    return found


def rank_agreement(columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Rank correlation of each signal with the loss: which of them say the same thing."""
    loss = np.argsort(np.argsort(columns["loss"]))
    names: tuple[Signal, ...] = ("probability", "margin", "predicted", "self_influence", "influence")
    ranks = {name: np.argsort(np.argsort(measure_oddness(name, columns), kind="stable")) for name in names}
    return {name: float(np.corrcoef(loss, found)[0, 1]) for name, found in ranks.items()}
