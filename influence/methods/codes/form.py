"""The code form of a method: how it scores rows that an index keeps as codes.

A method that has one gives `Method.on_codes`; nothing else is needed for it to be offered on compact storage. Shared by
all methods is what is done with the inverse curvature: one query vector per test point, one pass over the codes, and
true gradients where people look (see `influence.compact`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from influence.arrays import Array, dtype_name, inverse_roots, transfer
from influence.compact.arrays import Float32s, Float64s
from influence.compact.coded_rows import CodedRows, InCodeSpace
from influence.compact.encoder import Encoder, Projected
from influence.compact.inverse import Inverse, query_vectors, self_scores
from influence.compact.rerank import block_scores, full_directions

#: The inverse curvature of an index's rows at dampings lambda_l, one per block.
Invert = Callable[[CodedRows, Sequence[float]], Inverse]

#: Squared sizes (n,) of rows or test points in code space under an inverse curvature.
SquaredSizes = Callable[[Encoder, Inverse, InCodeSpace], Float64s]


@dataclass(frozen=True, slots=True)
class CodeForm:
    """`invert` makes the method's inverse curvature. Scores are divided by the roots of `row_sizes` of the training row
    and of `test_sizes` of the test point, where the method has them; a size of 0 makes a score of 0.

    `dampings` makes lambda_l of a damping scale: by default in proportion to each block's gradients.

    A method that `has_curvature` knows it inside the basis alone: what scores from true gradients are worth depends on
    the index, which measures it. Without, nothing is neglected, and they are exact on any index.
    """

    invert: Invert
    row_sizes: SquaredSizes | None = None
    test_sizes: SquaredSizes | None = None
    has_curvature: bool = True
    dampings: Callable[[CodedRows, float], Sequence[float]] = CodedRows.damping

    def prepare(self, rows: CodedRows, damping_scale: float) -> "CodeState":
        """Do once what all queries at this damping share."""
        state = self.prepare_tests(rows, damping_scale)
        if self.row_sizes is None:
            return state
        factors = np.empty(len(rows), np.float32)
        for part, stored in rows.chunks():
            factors[part] = inverse_roots(self.row_sizes(rows.encoder, state.inverse, stored))
        return replace(state, row_factors=factors)

    def prepare_tests(self, rows: CodedRows, damping_scale: float) -> "CodeState":
        """The same without what belongs to single rows, for who makes query vectors and leaves scores to others."""
        return CodeState(self, rows, self.invert(rows, self.dampings(rows, damping_scale)), None)


@dataclass(frozen=True, slots=True, eq=False)
class CodeState:
    """A code form prepared from an index at one damping. `row_factors` (n,) multiply the scores of rows, if given."""

    form: CodeForm
    rows: CodedRows
    inverse: Inverse
    row_factors: Float32s | None

    def vectors(self, tests: Projected) -> Float32s:
        """Query vectors (m, P): inner products with stored numbers are scores but for the rows' factors."""
        vectors = query_vectors(self.rows.encoder.layout, self.inverse, tests.codes)
        factors = self._test_factors(tests)
        return vectors if factors is None else vectors * factors[:, None]

    def finish(self, scores: Float32s) -> Float32s:
        """Influence (m, n) of all rows, negative is helpful, from the scan's scores, in place."""
        if self.row_factors is None:
            return np.negative(scores, out=scores)
        return np.multiply(scores, -self.row_factors, out=scores)

    def directions(self, test: Sequence[Array]) -> list[Array]:
        """What test gradients (m, d_l) per block become to meet true gradients of rows, in their library: inside the
        basis curvature acts as codes have it, outside as one factor per block."""
        encoder = self.rows.encoder
        directions = encoder.rescale(full_directions(encoder.basis, self.inverse, encoder.rescale(test)))
        factors = self._test_factors(encoder.project(test))
        if factors is None:
            return directions
        return [part * transfer(factors[:, None], part, dtype_name(part)) for part in directions]

    def share_blocks(self, directions: Sequence[Array], gradients: Sequence[Array]) -> Float64s:
        """The blocks' parts (blocks, m, r) of the influence of rows given by their gradients (r, d_l) per block."""
        shares = -block_scores(directions, gradients)
        if self.form.row_sizes is not None:
            encoder = self.rows.encoder
            shares *= inverse_roots(self.form.row_sizes(encoder, self.inverse, encoder.project(gradients)))
        return shares

    def self_influence(self, rows: slice) -> Float64s:
        """Scores (r,) of consecutive rows on themselves: codes as far as they go, exact norms for the rest."""
        return squared_self_influence(self.rows.encoder, self.inverse, self.rows.take(rows))

    def _test_factors(self, tests: Projected) -> Float32s | None:
        if self.form.test_sizes is None:
            return None
        sizes = self.form.test_sizes(self.rows.encoder, self.inverse, tests)
        return np.asarray(inverse_roots(sizes), np.float32)


def squared_lengths(encoder: Encoder, inverse: Inverse, rows: InCodeSpace) -> Float64s:
    """|g|^2 (n,) over all blocks."""
    return np.asarray(rows.squared_norms.sum(1, dtype=np.float64), np.float64)


def squared_self_influence(encoder: Encoder, inverse: Inverse, rows: InCodeSpace) -> Float64s:
    """Self-influence (n,), which is a squared size: what lies outside the basis is counted by the norms."""
    return self_scores(inverse, rows.codes, rows.squared_norms, encoder.basis.spans)
