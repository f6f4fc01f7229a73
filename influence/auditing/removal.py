"""What scores say of leaving out a set of rows: beside random sets of the same size, and by class. numpy only.

Sums of scores order sets of rows; they are no changes of loss unless an evaluation has calibrated them, and they miss
that rows of a set stand in for each other, the more so the larger the set is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Random sets that a set is compared with.
RANDOM_SETS = 1000
#: A class that loses more than this share of its rows is named in a warning.
LOST_SHARE = 0.2


@dataclass(frozen=True)
class RemovalEffect:
    """What leaving out a set is predicted to do to the mean evaluation loss, in score units: the sum of its scores.

    Positive: the rows were helpful, so that the loss would rise. `percentile` (0..100) is the share of random sets of
    the same size whose sum is lower; `random_mean` and `random_low` to `random_high` (95 %) are of those.
    """

    rows: int
    effect: float
    percentile: float
    random_mean: float
    random_low: float
    random_high: float


def removal_effect(scores: Floats, rows: NDArray[np.int64], *, seed: int = 0) -> RemovalEffect:
    """The effect of leaving out `rows` of all rows with mean scores (n,); NaN counts as 0."""
    known = np.nan_to_num(scores)
    effect = float(known[rows].sum())
    rng = np.random.default_rng(seed)
    sums = np.array([known[rng.choice(len(known), len(rows), replace=False)].sum() for _ in range(RANDOM_SETS)])
    low, high = np.quantile(sums, [0.025, 0.975])
    return RemovalEffect(
        rows=len(rows),
        effect=effect,
        percentile=float(100 * (sums < effect).mean()),
        random_mean=float(sums.mean()),
        random_low=float(low),
        random_high=float(high),
    )


def removal_curve(scores: Floats, percents: tuple[float, ...]) -> list[tuple[float, int, float]]:
    """(percent, rows, effect) of leaving out the rows of lowest score, for each percent of all rows (n,)."""
    ordered = np.sort(np.nan_to_num(scores))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    counts = [round(len(ordered) * percent / 100) for percent in percents]
    return [(percent, count, float(sums[count])) for percent, count in zip(percents, counts, strict=True)]


def lowest_rows_of(scores: Floats, percent: float) -> NDArray[np.int64]:
    """The rows of lowest score, a percentage of all; equal scores in row order."""
    order = np.argsort(np.nan_to_num(scores), kind="stable")
    return np.sort(order[: round(len(scores) * percent / 100)])


def lost_classes(before: dict[str, int], after: dict[str, int]) -> list[tuple[str, float]]:
    """Classes or groups that lose more than LOST_SHARE of their rows, with the share lost, the worst first."""
    lost = [(name, 1 - after.get(name, 0) / count) for name, count in before.items() if count]
    return sorted(((name, share) for name, share in lost if share > LOST_SHARE), key=lambda item: -item[1])
