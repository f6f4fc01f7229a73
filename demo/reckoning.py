"""How well a ranking of the training rows finds the labels that are wrong on purpose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP_SHARE = 0.1


@dataclass(frozen=True)
class Reckoning:
    """`found` of `wrong` rows stand among the first `top` of `rows`; `auc` is 0.5 for a ranking by chance."""

    rows: int
    wrong: int
    top: int
    found: int
    auc: float

    @property
    def precision(self) -> float:
        return self.found / self.top

    @property
    def recall(self) -> float:
        return self.found / self.wrong

    @property
    def precision_by_chance(self) -> float:
        return self.wrong / self.rows


def reckon(influence: Sequence[float], is_wrong: Sequence[bool], top_share: float = TOP_SHARE) -> Reckoning:
    """Rank rows from most to least harmful (highest influence first; ties in row order) and count.

    Raises ValueError when a score is missing or all rows are of one kind.
    """
    scores, wrong = np.asarray(influence, dtype=np.float64), np.asarray(is_wrong, dtype=bool)
    if scores.shape != wrong.shape or not np.isfinite(scores).all() or wrong.all() or not wrong.any():
        raise ValueError("every row needs a finite score, and rows of both kinds are needed")
    top = max(1, round(top_share * len(scores)))
    first = np.argsort(-scores, kind="stable")[:top]
    return Reckoning(len(scores), int(wrong.sum()), top, int(wrong[first].sum()), measure_auc(scores, wrong))


def measure_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive row scores above a negative one, ties counted half."""
    above, below = scores[positive][:, None], scores[~positive][None, :]
    return float(np.mean((above > below) + 0.5 * (above == below)))
