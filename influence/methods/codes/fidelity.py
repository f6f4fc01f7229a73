"""How well an index ranks by codes, measured on rows of its own data set that its basis never saw.

Held-out rows serve as pseudo-queries against each other. Their gradients are at hand in full when the index is
built, so the true score of each pair is an inner product with the full direction (see `influence.compact.rerank`); no
row of the index is computed twice.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.arrays import Array
from influence.compact.arrays import Float64s
from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import Encoder, Projected
from influence.compact.growth import residual_share
from influence.compact.scan import scan_codes
from influence.contracts.index import CodeDtype
from influence.evaluating.agreement import rank_correlations, share_found
from influence.methods.base import Method
from influence.methods.codes.form import CodeForm
from influence.methods.registry import DEFAULT_METHOD, METHODS

#: Under these an index warns. Candidates are 4k rows, as a query's re-ranking takes by default.
SPEARMAN_FLOOR = 0.99
FOUND_FLOOR = 0.98
CANDIDATES_PER_RESULT = 4


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`overlap` is the share of the true top k among the codes' top k, `found` among the codes' first 4k: what
    re-ranking returns. `kept` is the basis's share of the normalised energy per block, `residual` the share of the
    held-out rows' that it misses. Both directions count, helpful and harmful. All of it is the default method's;
    `methods` has the mean Spearman of every method that codes answer, at its default damping: some live on directions
    that the basis hardly looks at.
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
    gradients: Sequence[Array],
    held_out: NDArray[np.int64],
    *,
    dtype: CodeDtype = "int8",
    k: int = 10,
    queries: int = 64,
) -> Fidelity:
    """Measure with gradients (s + h, d_l) per block, in the encoder's library, of the s rows that it was fitted to and
    of h rows that it never saw, at positions `held_out`; h of 100 or more says most.

    All of them are the training set here. A row is never ranked for itself.
    """
    projected = encoder.project(gradients)
    measured = _Measured(CodedRows.encode(encoder, projected, dtype), gradients, projected, held_out, queries)
    true, coded = measured.score(METHODS[DEFAULT_METHOD])
    correlations = rank_correlations(true, coded)
    wanted = min(k, max(1, true.shape[1] // (2 * CANDIDATES_PER_RESULT)))
    fidelity = Fidelity(
        queries=len(true),
        rows=len(held_out),
        k=wanted,
        spearman_mean=float(correlations.mean()),
        spearman_worst=float(correlations.min()),
        overlap=share_found(true, coded, wanted, wanted),
        found=share_found(true, coded, wanted, CANDIDATES_PER_RESULT * wanted),
        kept=encoder.basis.kept,
        residual=residual_share(encoder, projected.take(held_out)),
        methods={
            name: float(rank_correlations(*measured.score(method)).mean())
            for name, method in METHODS.items()
            if method.on_codes is not None
        },
    )
    return _warned(fidelity)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Rows whose gradients are at hand; held-out ones score each other, the first `queries` of them ask."""

    rows: CodedRows
    gradients: Sequence[Array]
    projected: Projected
    held_out: NDArray[np.int64]
    queries: int

    def score(self, method: Method[Any]) -> tuple[Float64s, Float64s]:
        """Scores (m, h - 1) of a method at its default damping from full gradients and from codes."""
        assert method.on_codes is not None
        form: CodeForm = method.on_codes
        state = form.prepare(self.rows, method.damping_scale(None))
        asked = self.held_out[: self.queries]
        seen = [block[self.held_out] for block in self.gradients]
        true = state.share_blocks(state.directions([block[asked] for block in self.gradients]), seen).sum(0)
        scores = scan_codes(self.rows.codes, state.vectors(self.projected.take(asked)))
        coded = state.finish(scores)[:, self.held_out].astype(np.float64)
        return drop_self(0.0 - true), drop_self(0.0 - coded)


def drop_self(scores: Float64s) -> Float64s:
    """Scores (m, h) of the first m of h rows on all of them, without each row on itself: (m, h - 1)."""
    count, rows = scores.shape
    others = ~np.eye(count, rows, dtype=bool)
    return scores[others].reshape(count, rows - 1)


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
