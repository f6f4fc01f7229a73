"""How much a row stands out among all rows of its index, by what rows reach for unrelated test points.

A score is compared with the usual size of its own test point's scores, so that loud and quiet test points are alike.
What is unusual is learnt from null points: other rows of the index, asked as test points without themselves and their
duplicates. The highest level is conformal (Vovk et al. 2005): for a test point that comes from where the null points do
and is related to no row, the chance that any row reaches it is at most `CHANCE_HIGH`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.query import InfluenceLevel

#: Chance that the strongest row of an unrelated test point is called high.
CHANCE_HIGH = 0.05
#: Share of the rows of unrelated test points that reach the other two.
SHARE_MEDIUM, SHARE_LOW = 0.01, 0.05
#: Null points that are asked, and the fewest that bound the chance.
NULL_POINTS = 59
FEWEST_POINTS = 19

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Levels:
    """The least size, in units of a test point's usual score, of each level."""

    high: float
    medium: float
    low: float

    def of(self, scores: Floats, places: Sequence[int]) -> list[InfluenceLevel]:
        """Levels of some rows of a test point with these scores (n,)."""
        sizes = _in_units(scores)
        return [self._name(float(sizes[place])) for place in places]

    def stands_out(self, scores: Floats) -> bool:
        """Whether any row of a test point with these scores (n,) is high."""
        return bool(_in_units(scores).max(initial=0.0) > self.high)

    def _name(self, size: float) -> InfluenceLevel:
        if size > self.high:
            return "high"
        return "medium" if size > self.medium else "low" if size > self.low else "none"


def fit_levels(null: Floats) -> Levels | None:
    """Levels by the scores (m, n) of null points; NaN where a row is related to the point. None for too few points."""
    sizes = np.stack([_in_units(scores) for scores in null]) if len(null) else np.empty((0, 0))
    strongest = np.sort(np.nanmax(sizes, axis=1)) if sizes.size else np.empty(0)
    rank = math.ceil((len(strongest) + 1) * (1 - CHANCE_HIGH))
    if rank > len(strongest):
        return None
    low, medium = np.nanquantile(sizes, [1 - SHARE_LOW, 1 - SHARE_MEDIUM])
    return Levels(high=max(float(strongest[rank - 1]), float(medium)), medium=float(medium), low=float(low))


def _in_units(scores: Floats) -> Floats:
    """Sizes of scores by their median; by their mean where more than half are zero."""
    sizes = np.abs(scores)
    unit = float(np.nanmedian(sizes)) or float(np.nanmean(sizes)) or 1.0
    return np.asarray(sizes / unit)
