"""Sizes of training rows from what an index keeps of them: what `cosine` and `relative` divide a score by.

A row's factor multiplies its score whether that came from codes or from its true gradient, so that both stay on one
scale and re-ranked rows can be compared with the others.
"""

from collections.abc import Callable

import numpy as np

from influence.arrays import spans
from influence.compact.arrays import Float32s
from influence.compact.codes import Codes, decode_codes, decode_norms
from influence.compact.encoder import Encoder
from influence.compact.query import Inverse, self_scores
from influence.methods.normalised import inverse_roots

#: Bytes of decoded codes, float64, that score themselves at a time.
_CHUNK_BYTES = 64 << 20

#: Factors (n,) of rows that are stored as codes, under the inverse curvature of the method.
RowFactors = Callable[[Encoder, Inverse, Codes], Float32s]


def length_factors(encoder: Encoder, inverse: Inverse, codes: Codes) -> Float32s:
    """1/|g| (n,) over all blocks, from the stored norms; 0 for a row without gradient."""
    squares = np.empty(len(codes), np.float32)
    for rows in _chunks(codes, codes.norms.shape[1]):
        squares[rows] = decode_norms(codes.norms[rows]).sum(1, dtype=np.float64)
    return np.asarray(inverse_roots(squares), np.float32)


def self_influence_factors(encoder: Encoder, inverse: Inverse, codes: Codes) -> Float32s:
    """1/sqrt(self-influence) (n,), what codes leave out counted by the stored norms; 0 for a row without gradient."""
    scores = np.empty(len(codes))
    for rows in _chunks(codes, encoder.basis.width):
        part = codes.take(rows)
        decoded = encoder.layout.decode(decode_codes(part))
        scores[rows] = self_scores(inverse, decoded, decode_norms(part.norms), encoder.basis.spans)
    return np.asarray(inverse_roots(scores), np.float32)


def _chunks(codes: Codes, width: int) -> list[slice]:
    return [slice(*span) for span in spans(len(codes), max(1, _CHUNK_BYTES // (8 * max(width, 1))))]
