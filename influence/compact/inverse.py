"""An inverse curvature in code space, and what it makes of test points and rows.

All methods share one shape. Inside the basis a (k, k) matrix per block (or one over all blocks) stands for the inverse
curvature; outside it the inverse is one factor per block, for the training gradients have little there. Which matrices
those are is the method's own business, see `influence.methods`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from influence.compact.arrays import Float32s, Float64s
from influence.compact.layout import Layout
from influence.damping import inverse_damping


@dataclass(frozen=True, slots=True)
class Inverse:
    """An inverse curvature. `inside` holds symmetric matrices on the `spans` of a code, `outside` (blocks,) is the
    factor for what of a gradient lies outside the basis. Blocks with damping 0 have nothing anywhere.
    """

    inside: tuple[Float64s, ...]
    spans: tuple[slice, ...]
    outside: Float64s

    def apply(self, codes: Float32s | Float64s) -> Float64s:
        """Directions (m, K) float64 of test codes (m, K)."""
        wide = np.asarray(codes, np.float64)
        return np.concatenate([wide[:, span] @ block for span, block in zip(self.spans, self.inside, strict=True)], 1)


def query_vectors(layout: Layout, inverse: Inverse, test_codes: Float32s) -> Float32s:
    """Vectors (m, P) whose inner products with a row's stored numbers are its scores (positive is helpful)."""
    return layout.fold(inverse.apply(test_codes))


def self_scores(inverse: Inverse, codes: Float32s, squared_norms: Float32s, blocks: Sequence[slice]) -> Float64s:
    """Scores (n,) of rows on themselves, with the exact norms for what lies outside the basis."""
    wide = np.asarray(codes, np.float64)
    inside = (inverse.apply(wide) * wide).sum(1)
    kept = np.stack([(wide[:, block] ** 2).sum(1) for block in blocks], 1)
    # A decoded code can be a rounding error longer than its gradient.
    rest = np.maximum(np.asarray(squared_norms, np.float64) - kept, 0.0)
    return np.asarray(inside + rest @ inverse.outside, np.float64)


def invert_dampings(damping: Sequence[float]) -> Float64s:
    """1/lambda (blocks,), 0 where lambda is 0."""
    return np.asarray([inverse_damping(value) for value in damping])


def invert_damped(moment: Float64s, damping: float) -> Float64s:
    """(moment + damping I)^-1 of a positive semidefinite moment (k, k), symmetric; zero where both are zero."""
    if len(moment) == 0:
        return moment
    values, vectors = np.linalg.eigh(moment)
    factors = invert_dampings((np.maximum(values, 0.0) + damping).tolist())
    return np.asarray((vectors * factors) @ vectors.T, np.float64)
