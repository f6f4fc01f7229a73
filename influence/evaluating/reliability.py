"""How far two trainings on the same rows agree, and what that leaves for any scores to predict. numpy only.

The loss of a test point after training on subset s from seed r is `T_s + e_sr`: what the rows do, and what chance does.
The reliability of one training, `rho = var(T) / (var(T) + var(e))`, is the correlation over subsets of two trainings
from other seeds (parallel tests: Spearman 1904; Lord and Novick 1968, chapter 3). The mean of R trainings has
`R rho / (1 + (R - 1) rho)` (Spearman 1910, Brown 1910), and no prediction that knows nothing of the seeds correlates
with it better than the root of that (correction for attenuation, Spearman 1904). Here correlations are Spearman's, of
ranks, for which the algebra holds approximately; means over test points are taken first, which sets the ceiling rather
too high than too low (the root is concave), so that shares of it are rather understated.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.contracts.common import Json
from influence.errors import InvalidRequest
from influence.evaluating.agreement import rank_correlations
from influence.evaluating.statistics import RESAMPLES

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`reliability` of one training and `of_mean`, that of the mean of `trainings` per subset; `one` and `mean` are the
    highest correlations that any scores can be expected to have with each. None where trainings do not agree at all.
    """

    trainings: int
    reliability: float
    of_mean: float | None
    one: float | None
    mean: float | None

    def to_json(self) -> Json:
        return asdict(self)


def agreement_of_trainings(losses: ArrayLike) -> Floats:
    """Spearman's correlation (p,) over subsets of two trainings' losses, mean over pairs of trainings, per test point.

    `losses` are (trainings, subsets, test points). Raises InvalidRequest for fewer than two trainings or subsets.
    """
    values = np.asarray(losses, np.float64)
    if values.ndim != 3 or len(values) < 2 or values.shape[1] < 2:
        raise InvalidRequest(
            "Reliability needs two trainings or more of each of two subsets or more.",
            hint="Send retrain_seeds of at least 2.",
        )
    pairs = combinations(values, 2)
    return np.asarray(np.mean([rank_correlations(one.T, other.T) for one, other in pairs], axis=0), np.float64)


def find_ceiling(agreement: ArrayLike, trainings: int) -> Ceiling:
    """The ceiling that the agreement (v,) of two trainings, over test points, implies for the mean of `trainings`."""
    reliability = float(np.asarray(agreement, np.float64).mean())
    if reliability <= 0:
        return Ceiling(trainings, reliability, None, None, None)
    of_mean = _of_mean(reliability, trainings)
    return Ceiling(trainings, reliability, of_mean, math.sqrt(reliability), math.sqrt(of_mean))


def share_of_ceiling(
    scores: Floats, agreement: Floats, groups: NDArray[np.int64], trainings: int, *, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """(share, low, high) of the ceiling that scores' agreement with the mean of `trainings` reaches.

    Both agreements are (v,) over test points, which are drawn anew within their group, a seed of the experiment, the
    ceiling with them. All NaN where trainings do not agree.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = [_share(scores, agreement, _draw(members, rng), trainings) for _ in range(RESAMPLES)]
    whole = _share(scores, agreement, np.arange(len(scores)), trainings)
    if math.isnan(whole):
        return math.nan, math.nan, math.nan
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return whole, float(low), float(high)


def _share(scores: Floats, agreement: Floats, points: NDArray[np.int64], trainings: int) -> float:
    reliability = float(agreement[points].mean())
    return float(scores[points].mean()) / math.sqrt(_of_mean(reliability, trainings)) if reliability > 0 else math.nan


def _draw(members: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    return np.concatenate([own[rng.integers(0, len(own), len(own))] for own in members])


def _of_mean(reliability: float, trainings: int) -> float:
    return trainings * reliability / (1 + (trainings - 1) * reliability)
