"""A new version of a data set: rows that stay keep their codes, only new ones are computed.

The basis stays what it was, so the grown index equals one built anew with that basis, but for rounding: products of
other sizes add up in another order, which moves a code by a step at most. What the basis misses of the new rows is
measured (drift) and says when it should be fitted again.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from influence.compact.codes import Codes, join_codes
from influence.compact.encoder import Encoder, Projected

#: New rows may miss this much more of their energy than the held-out rows of the build did.
DRIFT_FACTOR = 1.5
DRIFT_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class RowPlan:
    """Which rows stay. `source` (new rows,) is the old position of each new row or -1; `added` are new positions to
    compute, `removed` old positions that left. All int64, ascending.
    """

    source: NDArray[np.int64]
    added: NDArray[np.int64]
    removed: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drift:
    """`residual` is the share of the new rows' normalised energy outside the basis, `baseline` that of the held-out
    rows at build time, `basis_age` how many of the rows came after the basis was fitted, in 0..1.
    """

    residual: float
    baseline: float
    basis_age: float
    warnings: tuple[str, ...] = ()


def match_rows(old: Sequence[Hashable], new: Sequence[Hashable]) -> RowPlan:
    """Match rows by the digest of their content; equal rows are matched one to one, in order."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for position in range(len(old) - 1, -1, -1):
        places[old[position]].append(position)
    source = np.asarray([places[key].pop() if places.get(key) else -1 for key in new], np.int64).reshape(-1)
    left = np.setdiff1d(np.arange(len(old)), source)
    return RowPlan(source, np.flatnonzero(source < 0), left)


def regrow_codes(plan: RowPlan, old: Codes, added: Codes) -> Codes:
    """Codes in the new order; `added` are those of the plan's added rows, in their order."""
    both = join_codes([old, added])
    order = plan.source.copy()
    order[plan.added] = len(old) + np.arange(len(plan.added))
    return both.take(order)


def missed_energy(encoder: Encoder, rows: Projected) -> tuple[float, float]:
    """(outside the basis, in all): the rows' normalised energy |g|^2 / (lambda + |g|^2), summed over rows and blocks.

    Both are sums, so that parts of an index add up.
    """
    norms = rows.squared_norms.astype(np.float64)
    weights = norms + np.asarray(encoder.damping)
    weights = np.divide(1.0, weights, out=np.zeros_like(weights), where=weights > 0)
    kept = np.stack([np.square(rows.codes[:, span], dtype=np.float64).sum(1) for span in encoder.basis.spans], 1)
    return float((np.maximum(norms - kept, 0.0) * weights).sum()), float((norms * weights).sum())


def residual_share(encoder: Encoder, rows: Projected) -> float:
    """Share of the rows' normalised energy |g|^2 / (lambda + |g|^2) that lies outside the basis, in 0..1."""
    missed, total = missed_energy(encoder, rows)
    return missed / total if total > 0 else 0.0


def judge_drift(residual: float, *, baseline: float, basis_age: float) -> Drift:
    """Warn where the new rows' `residual` exceeds the `baseline` by more than chance and small samples explain."""
    warnings = []
    if residual > DRIFT_FACTOR * baseline + DRIFT_MARGIN:
        warnings.append(
            f"The basis misses {residual:.1%} of the new rows' energy, {baseline:.1%} when it was fitted;"
            " build the index anew."
        )
    return Drift(residual, baseline, basis_age, tuple(warnings))
