"""How far scores at several dampings agree: with each other, and with those at the method's default. numpy only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.contracts.sweep import SweepResult, SweepRow
from influence.evaluating.agreement import share_found, unit_ranks
from influence.evaluating.statistics import mean_and_interval

#: Rows of either end that are compared.
TOP = 10
_SEED = 0

#: Scores or influence (m, n) of all rows, one line per test point.
Floats = NDArray[np.floating[Any]]


def choose_scales(asked: Sequence[float] | None, default: float, steps: Sequence[float]) -> tuple[float, ...]:
    """Dampings to compare, ascending: those asked for, or `steps` around the default, which is always among them."""
    return tuple(sorted({default, *(asked or [step * default for step in steps])}))


def compare_dampings(
    influence: Mapping[float, Floats], default: float, agreement: Mapping[float, Floats] | None = None
) -> SweepResult:
    """Compare influence (m, n) by damping; the default is one of them.

    `agreement` has linear datamodelling scores (p,) by damping where the index was evaluated.
    """
    scales = sorted(influence)
    spearman = mean_rank_correlations([influence[scale] for scale in scales])
    points, rows = influence[default].shape
    top = min(TOP, rows)
    against = spearman[scales.index(default)]
    found = [
        SweepRow(
            damping_scale=scale,
            is_default=scale == default,
            spearman_with_default=float(correlation),
            overlap_with_default=share_found(influence[default], influence[scale], top, top),
            **_describe_agreement(None if agreement is None else agreement[scale]),
        )
        for scale, correlation in zip(scales, against, strict=True)
    ]
    matrix = tuple(tuple(line) for line in spearman.tolist())
    return SweepResult(rows=tuple(found), spearman=matrix, top=top, test_points=points, rows_scored=rows)


def _describe_agreement(values: Floats | None) -> dict[str, float]:
    if values is None:
        return {}
    mean, low, high = mean_and_interval(values, seed=_SEED)
    return {"lds": mean, "lds_low": low, "lds_high": high}


def mean_rank_correlations(sets: Sequence[Floats]) -> NDArray[np.float64]:
    """Spearman's correlation (s, s) of each pair of s sets of scores (m, n), mean over the m lines.

    Lines that do not vary agree with each other and with nothing else.
    """
    total = np.zeros((len(sets), len(sets)))
    for lines in zip(*sets, strict=True):
        ranks = unit_ranks(np.stack(lines))
        flat = ~ranks.any(axis=1)
        total += ranks @ ranks.T + np.outer(flat, flat)
    return np.clip(total / len(sets[0]), -1.0, 1.0)
