"""How a row's code becomes the few numbers that are stored: one linear map over all blocks together.

DataInf's score of a test gradient v and a row g is `sum_l w_l' S_l c_l` with w = V'v, c = V'g and
`S_l = (I - M_l) / lambda_l`. In the coordinates `e_l = S_l^(1/2) c_l` it is a plain inner product of two vectors that
are made alike, so the numbers worth storing are the leading principal components of e over all blocks at once.
Blocks share what a row says about the loss, which is why a joint code needs a fraction of the blocks' own ranks.
The map is fixed when it is fitted; a query with another curvature or damping is folded through its inverse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from influence.arrays import on_host
from influence.compact.arrays import Float32s, Float64s
from influence.compact.basis import leading_directions

#: Smallest eigenvalue of I - M that is inverted; one row alone can push it towards zero.
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Layout:
    """`mix` (K, P) makes stored numbers of codes, `unmix` (P, K) makes codes of stored numbers; both float32.

    `kept` is the share of the sample's normalised energy that P numbers keep of K.
    """

    mix: Float32s
    unmix: Float32s
    kept: float

    @property
    def width(self) -> int:
        return int(self.mix.shape[1])

    def encode(self, codes: Float32s) -> Float32s:
        """Stored numbers (n, P) of codes (n, K)."""
        return np.asarray(codes @ self.mix, np.float32)

    def decode(self, values: Float32s) -> Float32s:
        """Codes (n, K) of stored numbers (n, P), up to what P numbers cannot hold."""
        return np.asarray(values @ self.unmix, np.float32)

    def fold(self, directions: Float64s) -> Float32s:
        """Query vectors (m, P): on stored numbers they give what `directions` (m, K) give on codes."""
        return np.asarray(directions @ self.unmix.T, np.float32)


def fit_layout(
    codes: Float32s, spans: Sequence[slice], weighted: Sequence[Float64s], damping: Sequence[float], width: int
) -> Layout:
    """Fit the map to a sample's codes (s, K).

    `weighted` holds M_l of the sample, `damping` lambda_l. At most min(width, s, K) numbers come back.
    """
    roots = [_root(moment, scale) for moment, scale in zip(weighted, damping, strict=True)]
    pairs = list(zip(spans, roots, strict=True))
    wide = np.asarray(codes, np.float64)
    balanced = np.concatenate([wide[:, span] @ root for span, (root, _) in pairs], 1)
    vectors, kept = _components(balanced, width)
    mix = np.concatenate([root @ vectors[span] for span, (root, _) in pairs])
    unmix = np.concatenate([vectors[span].T @ inverse for span, (_, inverse) in pairs], 1)
    return Layout(mix.astype(np.float32), unmix.astype(np.float32), kept)


def fit_even_layout(codes: Float32s, width: int) -> Layout:
    """The leading principal components of a sample's codes (s, K) themselves, at most `width` of them: for codes in
    which every direction counts alike, as in the optimiser's metric. `mix` has orthonormal columns."""
    vectors, kept = _components(np.asarray(codes, np.float64), width)
    return Layout(vectors.astype(np.float32), np.ascontiguousarray(vectors.T, np.float32), kept)


def _components(rows: Float64s, width: int) -> tuple[Float64s, float]:
    """Principal components (K, r) of rows (s, K), at most `width`, and their share of the variance. Rows are
    normalised: what counts is the order of scores, in which a few loud rows must not set the directions."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    vectors, kept = leading_directions(rows / np.where(norms == 0, 1.0, norms), width)
    return on_host(vectors), kept


def _root(moment: Float64s, damping: float) -> tuple[Float64s, Float64s]:
    """((I - M) / lambda)^(1/2) and its inverse, both symmetric; empty for a block without directions."""
    if moment.shape[0] == 0:
        return moment, moment
    values, vectors = np.linalg.eigh(np.eye(len(moment)) - moment)
    roots = np.sqrt(np.maximum(values, _FLOOR) / damping)
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
