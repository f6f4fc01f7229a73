"""How much each checkpoint of a run weighs in a sum over them.

TracIn (Pruthi et al. 2020, TracInCP) sums over checkpoints, each weighed by the step size of the steps that it stands
for: here the mean learning rate from the checkpoint before it up to its own step.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

#: Step of the trainer -> learning rate.
Rates = Mapping[int, float]


def read_rates(states: Iterable[bytes]) -> Rates:
    """Learning rates by step, of the logs of one trainer at several moments; a log that is broken is none."""
    rates: dict[int, float] = {}
    for content in states:
        for entry in _history(content):
            step, rate = entry.get("step"), entry.get("learning_rate")
            if type(step) is int and isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0:
                rates[step] = float(rate)
    return rates


def _history(content: bytes) -> list[dict[str, Any]]:
    try:
        state = json.loads(content)
    except (ValueError, RecursionError):
        return []
    found = state.get("log_history") if isinstance(state, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def weigh(steps: Sequence[int], rates: Rates) -> list[float] | None:
    """The mean learning rate of each stretch of steps that ends at a checkpoint; None where no rate is known.

    A stretch in which nothing was logged has the rate that lies between those logged before and after it.
    """
    if not rates:
        return None
    known = sorted(rates)
    weights = []
    for before, step in zip((0, *steps), steps, strict=False):
        logged = [rates[at] for at in known if before < at <= step]
        between = float(np.interp((before + step) / 2, known, [rates[at] for at in known]))
        weights.append(sum(logged) / len(logged) if logged else between)
    return weights
