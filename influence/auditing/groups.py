"""Training rows taken in groups: what each group does to the evaluation rows, and how sure that is. numpy only."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Samples of evaluation rows, drawn with replacement, behind every interval.
RESAMPLES = 1000
#: The ends of a ranking whose make-up is told: the most helpful and the most harmful tenth.
TAIL_SHARE = 0.1


@dataclass(frozen=True)
class GroupFigures:
    """Figures of one group. Scores are means over evaluation rows; `low` and `high` are the ends of the 95 % interval
    of `mean_score` over evaluation rows drawn anew. Shares of tails are of the tail's rows, in 0..1."""

    rows: int
    mean_score: float
    low: float
    high: float
    sum_score: float
    share_of_helpful: float
    share_of_harmful: float


@dataclass
class GroupSums:
    """Sums of scores by group, taken up block by block of evaluation rows.

    `groups` (n,) names each training row's group by a number below `count`; -1 leaves a row out.
    """

    groups: NDArray[np.int64]
    count: int
    _sums: list[Floats] = field(default_factory=list)
    _total: Floats | None = None

    def add(self, scores: NDArray[np.floating[Any]]) -> None:
        """Scores (b, n) of some evaluation rows; NaN where the index left a row out."""
        known = np.nan_to_num(np.asarray(scores, dtype=np.float64))
        kept = self.groups >= 0
        for row in known:
            sums: Floats = np.bincount(self.groups[kept], weights=row[kept], minlength=self.count).astype(np.float64)
            self._sums.append(sums)
        block = known.sum(axis=0)
        self._total = block if self._total is None else self._total + block

    @property
    def evaluation_rows(self) -> int:
        """How many evaluation rows were taken up."""
        return len(self._sums)

    def mean_scores(self) -> Floats:
        """Mean score (n,) of every training row over the evaluation rows."""
        assert self._total is not None
        return self._total / self.evaluation_rows

    def by_point(self) -> Floats:
        """Sums (m, count) of each evaluation row's scores by group."""
        return np.stack(self._sums)

    def figures(self, *, seed: int = 0) -> list[GroupFigures]:
        """One per group, in order of their numbers. The same scores and seed give the same intervals."""
        sizes = np.bincount(self.groups[self.groups >= 0], minlength=self.count)
        by_point = self.by_point()
        means = by_point / np.maximum(sizes, 1)
        lows, highs = _intervals(means, seed)
        helpful, harmful = self._tails()
        return [
            GroupFigures(
                rows=int(sizes[group]),
                mean_score=float(means[:, group].mean()),
                low=float(lows[group]),
                high=float(highs[group]),
                sum_score=float(by_point[:, group].mean()),
                share_of_helpful=float(helpful[group]),
                share_of_harmful=float(harmful[group]),
            )
            for group in range(self.count)
        ]

    def extreme_rows(self, group: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row numbers of a group: the k of highest mean score, then the k of lowest; equal scores in row order."""
        rows = np.flatnonzero(self.groups == group)
        scores = self.mean_scores()[rows]
        order = np.argsort(-scores, kind="stable")
        lowest = np.argsort(scores, kind="stable")
        return rows[order[:k]], rows[lowest[:k]]

    def matrix(self, classes: NDArray[np.int64], count: int) -> Floats:
        """Mean score (groups, count) per training row of each group on evaluation rows of each class (m,); NaN where
        no evaluation row is of a class."""
        sizes = np.maximum(np.bincount(self.groups[self.groups >= 0], minlength=self.count), 1)
        by_point = self.by_point() / sizes
        columns = [
            by_point[classes == one].mean(axis=0) if (classes == one).any() else np.full(self.count, np.nan)
            for one in range(count)
        ]
        return np.stack(columns, axis=1)

    def _tails(self) -> tuple[Floats, Floats]:
        """Shares (count,) of each group in the most helpful and the most harmful tenth of the grouped rows."""
        rows = np.flatnonzero(self.groups >= 0)
        order = rows[np.argsort(self.mean_scores()[rows], kind="stable")]
        length = max(1, round(TAIL_SHARE * len(rows)))
        harmful = np.bincount(self.groups[order[:length]], minlength=self.count) / length
        helpful = np.bincount(self.groups[order[-length:]], minlength=self.count) / length
        return helpful, harmful


def _intervals(values: Floats, seed: int) -> tuple[Floats, Floats]:
    """Ends (count,) of the 95 % percentile bootstrap interval of the column means of (m, count)."""
    rng = np.random.default_rng(seed)
    points = len(values)
    means = np.stack([values[rng.integers(0, points, points)].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high
