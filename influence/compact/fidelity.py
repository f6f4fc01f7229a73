"""How well an index ranks, measured on rows of its own data set that its basis never saw.

Held-out rows serve as pseudo-queries against each other. Their gradients are at hand in full when the index is
built, so the true score of each pair is an inner product with the full direction (see `rerank`); no row of the
index is computed twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from influence.arrays import Array
from influence.compact.arrays import Float64s
from influence.compact.encoder import Encoder, Projected
from influence.compact.growth import residual_share
from influence.compact.moments import Moments, damping_of_rows
from influence.compact.query import (
    Inverse,
    invert_datainf,
    invert_exactly,
    invert_nothing,
    invert_proximally,
    query_vectors,
)
from influence.compact.rerank import exact_scores, full_directions
from influence.compact.scan import scan_codes
from influence.contracts.index import CodeDtype
from influence.methods.base import Method
from influence.methods.exact import Exact
from influence.methods.hessian_free import HessianFree
from influence.methods.proximal import Proximal

#: Under these an index warns. Candidates are 4k rows, as a query's re-ranking takes by default.
SPEARMAN_FLOOR = 0.99
FOUND_FLOOR = 0.98
CANDIDATES_PER_RESULT = 4
#: Other methods whose agreement is measured; `joint` needs a moment over all blocks, which is made when first asked.
_OTHERS: dict[str, tuple[Callable[[Encoder, Moments, Sequence[float]], Inverse], Method[Any]]] = {
    "exact": (invert_exactly, Exact()),
    "proximal": (invert_proximally, Proximal()),
    "hessian_free": (lambda encoder, _moments, _damping: invert_nothing(encoder), HessianFree()),
}


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`overlap` is the share of the true top k among the codes' top k, `found` among the codes' first 4k: what
    re-ranking returns. `kept` is the basis's share of the normalised energy per block, `residual` the share of the
    held-out rows' that it misses. Both directions count, helpful and harmful. All of it is DataInf's; `methods` has the
    mean Spearman of others at their default dampings, which live on directions that DataInf hardly looks at.
    """

    queries: int
    rows: int
    k: int
    spearman_mean: float
    spearman_worst: float
    overlap: float
    found: float
    kept: tuple[float, ...]
    residual: float
    methods: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_fidelity(
    encoder: Encoder,
    moments: Moments,
    gradients: Sequence[Array],
    *,
    damping_scale: float = 0.1,
    dtype: CodeDtype = "int8",
    k: int = 10,
    queries: int = 64,
) -> Fidelity:
    """Measure with held-out rows' gradients (h, d_l) per block, in the encoder's library; h of 100 or more says most.

    `moments` are those of the whole index. A row is never ranked for itself.
    """
    rows = _HeldOut(encoder, gradients, encoder.project(gradients), dtype, queries)
    inverse = invert_datainf(encoder, moments, damping_of_rows(moments, encoder.parameters, damping_scale))
    true, coded = rows.score(inverse)
    correlations = rank_correlations(true, coded)
    wanted = min(k, max(1, true.shape[1] // (2 * CANDIDATES_PER_RESULT)))
    fidelity = Fidelity(
        queries=len(true),
        rows=len(rows.projected),
        k=wanted,
        spearman_mean=float(correlations.mean()),
        spearman_worst=float(correlations.min()),
        overlap=share_found(true, coded, wanted, wanted),
        found=share_found(true, coded, wanted, CANDIDATES_PER_RESULT * wanted),
        kept=encoder.basis.kept,
        residual=residual_share(encoder, rows.projected),
        methods={name: _agreement(rows, moments, name) for name in _OTHERS},
    )
    return _warned(fidelity)


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Rows that score each other; the first `queries` of them ask."""

    encoder: Encoder
    gradients: Sequence[Array]
    projected: Projected
    dtype: CodeDtype
    queries: int

    def score(self, inverse: Inverse) -> tuple[Float64s, Float64s]:
        """Scores (m, h - 1) from full gradients and from codes."""
        encoder = self.encoder
        asked = [block[: self.queries] for block in self.gradients]
        true = exact_scores(full_directions(encoder.basis, inverse, asked), self.gradients)
        vectors = query_vectors(encoder.layout, inverse, self.projected.codes[: self.queries])
        coded = scan_codes(encoder.encode(self.projected, self.dtype), vectors).astype(np.float64)
        return drop_self(true), drop_self(coded)


def _agreement(rows: _HeldOut, moments: Moments, name: str) -> float:
    invert, method = _OTHERS[name]
    damping = damping_of_rows(moments, rows.encoder.parameters, method.damping_scale(None))
    return float(rank_correlations(*rows.score(invert(rows.encoder, moments, damping))).mean())


def rank_correlations(true: Float64s, other: Float64s) -> Float64s:
    """Spearman's correlation (m,) of each row of two (m, n) score matrices; 1 where a row is all ties in both."""
    left, right = (_centred_ranks(scores) for scores in (true, other))
    sizes = np.sqrt((left * left).sum(1) * (right * right).sum(1))
    alike = np.where((np.ptp(true, axis=1) == 0) & (np.ptp(other, axis=1) == 0), 1.0, 0.0)
    return np.asarray(np.divide((left * right).sum(1), sizes, out=alike, where=sizes > 0), np.float64)


def share_found(true: Float64s, other: Float64s, k: int, among: int) -> float:
    """Share of the true k highest and k lowest that are among the other scores' `among` highest and lowest."""
    shares = []
    for sign in (1.0, -1.0):
        best = np.argsort(-sign * true, axis=1, kind="stable")[:, :k]
        seen = np.argsort(-sign * other, axis=1, kind="stable")[:, :among]
        shares.append((best[:, :, None] == seen[:, None, :]).any(2).mean())
    return float(np.mean(shares))


def drop_self(scores: Float64s) -> Float64s:
    """Scores (m, h) of the first m of h rows on all of them, without each row on itself: (m, h - 1)."""
    count, rows = scores.shape
    others = ~np.eye(count, rows, dtype=bool)
    return scores[others].reshape(count, rows - 1)


def _centred_ranks(scores: Float64s) -> Float64s:
    """Ranks with ties averaged, minus their mean."""
    ranks = np.empty(scores.shape)
    for row, values in enumerate(scores):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks[row] = (ends - (counts + 1) / 2)[place]
    return np.asarray(ranks - ranks.mean(1, keepdims=True), np.float64)


def _warned(fidelity: Fidelity) -> Fidelity:
    warnings = []
    if fidelity.spearman_mean < SPEARMAN_FLOOR:
        warnings.append(
            f"Codes rank like full gradients only to a Spearman of {fidelity.spearman_mean:.3f} (wanted"
            f" {SPEARMAN_FLOOR}); raise 'rank', or use storage 'full'."
        )
    if fidelity.found < FOUND_FLOOR:
        warnings.append(
            f"Only {fidelity.found:.1%} of the true top {fidelity.k} are among the candidates; raise 'rank'."
        )
    return Fidelity(**{**asdict(fidelity), "warnings": tuple(warnings)})
