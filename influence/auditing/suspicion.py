"""Suspicion: one number per row from several signals, by ranks.

Signals have units that cannot be added and tails that would drown each other (a few self-influences are a thousand
times the median); ranks have neither. A row's suspicion is the share of the other rows that look less odd than it,
rows that look equally odd counting half: so it means the same on every data set.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.errors import InvalidRequest
from influence.evaluating.agreement import average_ranks


def rank_suspicion(oddness: Mapping[str, NDArray[Any]], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Suspicion (n,) in 0..1 of rows by signals (n,) each, higher = odder; `weights` says how much each one counts.

    Each signal becomes ranks, equal values sharing the mean of theirs; the weighted mean of the ranks is ranked once
    more and spread over 0..1. A row alone has 0.5. Raises InvalidRequest where no signal counts.
    """
    counted = {name: weights[name] for name in oddness if weights[name] > 0}
    if not counted:
        raise InvalidRequest("At least one signal needs a weight above 0.", hint="Give one signal a weight above 0.")
    mean_ranks = sum(weight * average_ranks(oddness[name]) for name, weight in counted.items())
    ranks = average_ranks(mean_ranks)
    if len(ranks) == 1:
        return np.full(1, 0.5, np.float32)
    return ((ranks - 1) / (len(ranks) - 1)).astype(np.float32)
