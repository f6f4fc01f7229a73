"""Scores divided by a size of the training row and one of the test point: what `cosine` and `relative` share."""

from influence.arrays import Array
from influence.methods.base import Scores


def inverse_roots(squares: Array) -> Array:
    """1/sqrt of squared sizes (n,); 0 where a size is 0, so that a row without gradient scores 0, not NaN."""
    empty = squares <= 0
    return ~empty / (squares + empty) ** 0.5


def rescale(scores: Scores, test_factors: Array | None, row_factors: Array) -> Scores:
    """Multiply scores, and their parts by block, by factors of test points (m,) and training rows (n,)."""
    factors = row_factors[None, :] if test_factors is None else test_factors[:, None] * row_factors[None, :]
    parts = None if scores.blocks is None else {name: part * factors for name, part in scores.blocks.items()}
    return Scores(scores.influence * factors, parts)
