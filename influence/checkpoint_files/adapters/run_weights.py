"""How much each checkpoint of a run weighs in a sum over them.

TracIn (Pruthi et al. 2020, TracInCP) sums over checkpoints, each weighed by the step size of the steps that it stands
for: here the mean learning rate from the checkpoint before it up to its own step.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

#: Step of the trainer -> learning rate.
Rates = Mapping[int, float]
#: More than these nobody trains by; numbers of any size can be written.
_MAX_RATE, _MAX_STEP = 1e9, 10**12
#: By how much of the larger of two rates they differ where one does not speak for the other.
_FAR = 0.25


def read_rates(states: Iterable[bytes]) -> Rates:
    """Learning rates by step, of the logs of one trainer at several moments; a log that is broken is none."""
    rates: dict[int, float] = {}
    for content in states:
        for entry in _history(content):
            step, rate = entry.get("step"), entry.get("learning_rate")
            if type(step) is not int or not isinstance(rate, int | float):
                continue
            if 0 <= step <= _MAX_STEP and 0 <= rate <= _MAX_RATE:
                rates[step] = float(rate)
    return dict(sorted(rates.items()))


def _history(content: bytes) -> list[dict[str, Any]]:
    try:
        state = json.loads(content)
    except (ValueError, RecursionError):
        return []
    found = state.get("log_history") if isinstance(state, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def weigh(steps: Sequence[int], rates: Rates) -> list[float] | None:
    """The mean learning rate of each stretch of steps that ends at a checkpoint; None where no rate is known.

    A stretch in which nothing was logged has the rate that lies between those logged before and after it, and so has
    one in which nothing but 0 was logged though training came into it with more: that log is of its last step.
    """
    if not rates:
        return None
    known = sorted(rates)
    weights = []
    for before, step in _stretches(steps):
        logged = [rates[at] for at in known if before < at <= step]
        between = float(np.interp((before + step) / 2, known, [rates[at] for at in known]))
        weights.append(sum(logged) / len(logged) if any(logged) else between)
    return weights


def find_weight_doubts(steps: Sequence[int], rates: Rates) -> Iterator[str]:
    """Where the log says too little for the weights to be what training did, in sentences."""
    if not rates:
        return
    last = max(rates)
    if beyond := [step for before, step in _stretches(steps) if before >= last]:
        yield (
            f"The trainer's log ends at step {last}: the checkpoints after it ({_listed(beyond)}) weigh as the last "
            "rate that was logged. Send the trainer_state.json of the last checkpoint for their own."
        )
    rough = [step for before, step in _stretches(steps) if before < last and _is_rough(before, step, rates)]
    if rough:
        yield (
            f"The trainer's log has at most one learning rate for all steps that lead to checkpoint {_listed(rough)}, "
            "and the rate fell or rose meanwhile: their weights are rough. A smaller logging_steps makes them exact; a "
            "query's 'checkpoints' takes weights of your own."
        )


def _stretches(steps: Sequence[int]) -> list[tuple[int, int]]:
    return [*zip((0, *steps), steps, strict=False)]


def _is_rough(before: int, step: int, rates: Rates) -> bool:
    """Whether the one rate logged in a stretch, or none, is far from the rate that came before it."""
    logged = [rate for at, rate in rates.items() if before < at <= step]
    former = [rates[at] for at in rates if at <= before]
    if len(logged) > 1 or not former:
        return False
    came, went = former[-1], logged[0] if logged else 0.0
    return abs(came - went) > _FAR * max(came, went)


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps))
