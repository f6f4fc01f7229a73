"""A test point as one vector: the inverse curvature in code space, for every method that an index can answer.

All methods share one shape. Inside the basis a (k, k) matrix a block (or one over all blocks) stands for the inverse
curvature; outside it the inverse is 1 / lambda, for the training gradients have (next to) nothing there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from influence.compact.arrays import Float32s, Float64s
from influence.compact.encoder import Encoder
from influence.compact.layout import Layout
from influence.compact.moments import Moments, mean_weighted_at
from influence.damping import inverse_damping
from influence.errors import MethodNotOffered


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


def invert_datainf(encoder: Encoder, moments: Moments, damping: Sequence[float]) -> Inverse:
    """DataInf: (I - M_l) / lambda_l, equation 5 of Kwon et al. 2024 in code space. Any damping, without rebuilding."""
    spans = encoder.basis.spans
    sample = encoder.sample
    weighted = mean_weighted_at(moments, damping, sample.codes, sample.squared_norms, spans)
    outside = _reciprocals(damping)
    inside = [(np.eye(len(block)) - block) * factor for block, factor in zip(weighted, outside, strict=True)]
    return Inverse(tuple(inside), spans, outside)


def invert_exactly(encoder: Encoder, moments: Moments, damping: Sequence[float]) -> Inverse:
    """The damped Gauss-Newton inverse of each block: (1/n sum c c' + lambda_l I)^-1."""
    pairs = zip(moments.plain, damping, strict=True)
    inside = [_invert(block / max(moments.rows, 1), scale) for block, scale in pairs]
    return Inverse(tuple(inside), encoder.basis.spans, _reciprocals(damping))


def invert_proximally(encoder: Encoder, moments: Moments, damping: Sequence[float]) -> Inverse:
    """The exact inverse of each block times its lambda: (1/(n lambda_l) sum c c' + I)^-1."""
    exact = invert_exactly(encoder, moments, damping)
    inside = [block * scale for block, scale in zip(exact.inside, damping, strict=True)]
    return Inverse(tuple(inside), exact.spans, (np.asarray(damping) > 0).astype(np.float64))


def invert_jointly(encoder: Encoder, moments: Moments, damping: Sequence[float]) -> Inverse:
    """The damped Gauss-Newton inverse over all blocks together: (1/n sum c c' + Lambda)^-1, each block its lambda."""
    if moments.joint is None:
        raise MethodNotOffered(
            "This index holds no moments over all blocks together.", hint="Use 'datainf' or the exact solve per block."
        )
    # In units of each block's damping, as one number for all would be far off for most blocks.
    outside = _reciprocals(damping)
    roots = np.sqrt(np.repeat(outside, encoder.basis.ranks))
    whitened = moments.joint / max(moments.rows, 1) * roots * roots[:, None]
    inside = _invert(whitened, 1.0) * roots * roots[:, None]
    return Inverse((inside,), (slice(0, encoder.basis.width),), outside)


def invert_nothing(encoder: Encoder) -> Inverse:
    """The identity: plain gradient products, no curvature."""
    inside = tuple(np.eye(rank) for rank in encoder.basis.ranks)
    return Inverse(inside, encoder.basis.spans, np.ones(len(inside)))


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


def _reciprocals(damping: Sequence[float]) -> Float64s:
    return np.asarray([inverse_damping(value) for value in damping])


def _invert(moment: Float64s, damping: float) -> Float64s:
    """(moment + damping I)^-1, symmetric; zero where both are zero."""
    if len(moment) == 0:
        return moment
    values, vectors = np.linalg.eigh(moment)
    factors = _reciprocals((np.maximum(values, 0.0) + damping).tolist())
    return np.asarray((vectors * factors) @ vectors.T, np.float64)
