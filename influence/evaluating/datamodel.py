"""Does the sum of scores over a subset say what training on it gives? Linear datamodelling score and calibration.

Source: Park et al. 2023, TRAK, section 2 (linear datamodelling score); Ilyas et al. 2022, Datamodels. numpy only.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from influence.errors import InvalidRequest
from influence.evaluating.agreement import rank_correlations
from influence.evaluating.statistics import RESAMPLES

Floats = NDArray[np.float64]


def predict_losses(influence: ArrayLike, subsets: NDArray[np.bool_]) -> Floats:
    """What influence (m, n) says of test losses after training on each subset (s, n), up to a factor: (s, m).

    Influence is negative for rows that lower the loss, so the sum over a subset orders subsets like their losses.
    """
    return np.asarray(subsets.astype(np.float64) @ np.asarray(influence, np.float64).T, np.float64)


def linear_datamodelling_scores(predicted: ArrayLike, measured: ArrayLike) -> Floats:
    """Spearman's correlation (m,) over subsets of predicted with measured test losses, both (s, m), a test point.

    Raises InvalidRequest where fewer than two subsets were measured.
    """
    left, right = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    if left.shape != right.shape or left.ndim != 2:
        raise ValueError(f"predictions {left.shape} do not fit losses {right.shape}")
    if len(left) < 2:
        raise InvalidRequest("A correlation over subsets needs at least two of them.", hint="Ask for more subsets.")
    return rank_correlations(left.T, right.T)


def ratio_interval(
    above: Floats, below: Floats, groups: NDArray[np.int64], *, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """(ratio, low, high) of the means of two paired sets of values (v,), test points drawn anew within their group.

    A group is a seed of the experiment: its values share one trained model. All NaN where the mean below is not
    positive: a ratio then means nothing. Draws of which that is true are left out of the interval.
    """
    if below.mean() <= 0:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = np.empty(RESAMPLES)
    for sample in range(RESAMPLES):
        rows = np.concatenate([own[rng.integers(0, len(own), len(own))] for own in members])
        drawn[sample] = _ratio(above[rows], below[rows])
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return _ratio(above, below), float(low), float(high)


def _ratio(above: Floats, below: Floats) -> float:
    mean = float(below.mean())
    return float(above.mean()) / mean if mean > 0 else math.nan


#: Slopes of measured on predicted changes, of subsets held out, between which predictions are stated.
SLOPES = (0.8, 1.25)
_THIRDS = 3


@dataclass(frozen=True, slots=True)
class Calibration:
    """`change = scale * sum of scores of the rows left out`, for the mean test loss; `low` to `high` is the interval.

    `correlation` is Pearson's, of predicted with measured changes over subsets; `error` the root mean square of what is
    left, `spread` that of the measured changes themselves. `slope` is that of measured on predicted changes of subsets
    that the scale was not fitted to, each third in turn; None where there are too few.
    """

    scale: float
    low: float
    high: float
    correlation: float
    error: float
    spread: float
    slope: float | None = None

    @property
    def is_useful(self) -> bool:
        """Whether the interval keeps clear of zero and changes that were held out are as large as predicted: else
        scores say nothing about the size of changes."""
        return self.low > 0 and self.slope is not None and SLOPES[0] <= self.slope <= SLOPES[1]


def calibrate(left_out_scores: ArrayLike, changes: ArrayLike, *, seed: int, level: float = 0.95) -> Calibration:
    """Fit a scale to summed scores of the rows left out (s,) and measured losses or changes of loss (s,).

    Both count from their means: what leaving out *any* rows of that number does is not the scores' doing. The
    interval is a bootstrap over subsets. Raises InvalidRequest where scores or changes do not vary.
    """
    x, y = _centred(left_out_scores), _centred(changes)
    rng = np.random.default_rng(seed)
    scales = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(x), len(x))
        drawn_x, drawn_y = x[rows] - x[rows].mean(), y[rows] - y[rows].mean()
        if (power := float(drawn_x @ drawn_x)) > 0:
            scales.append(float(drawn_x @ drawn_y) / power)
    low, high = np.quantile(scales, [(1 - level) / 2, (1 + level) / 2])
    scale = float(x @ y) / float(x @ x)
    correlation = float(x @ y) / float(np.sqrt((x @ x) * (y @ y)))
    error = float(np.sqrt(np.mean((y - scale * x) ** 2)))
    spread = float(np.sqrt(np.mean(y * y)))
    return Calibration(scale, float(low), float(high), correlation, error, spread, _held_out_slope(x, y, seed))


def _held_out_slope(x: Floats, y: Floats, seed: int) -> float | None:
    """Slope of measured on predicted changes, pooled over thirds of the subsets, each predicted by the other two."""
    if len(x) < 2 * _THIRDS:
        return None
    places = np.random.default_rng(seed).permutation(len(x)) % _THIRDS
    predicted, measured = [], []
    for third in range(_THIRDS):
        known, out = places != third, places == third
        own = x[known] - x[known].mean()
        if (power := float(own @ own)) == 0:
            return None
        scale = float(own @ y[known]) / power
        predicted.append(scale * (x[out] - x[known].mean()))
        measured.append(y[out] - y[known].mean())
    said, found = np.concatenate(predicted), np.concatenate(measured)
    return float(said @ found) / power if (power := float(said @ said)) > 0 else None


def _centred(values: ArrayLike) -> Floats:
    numbers: NDArray[Any] = np.asarray(values, np.float64)
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        raise InvalidRequest(
            "The subsets' scores or losses do not vary, so no scale can be fitted.",
            hint="Take more subsets or test points.",
        )
    return np.asarray(numbers - numbers.mean(), np.float64)
