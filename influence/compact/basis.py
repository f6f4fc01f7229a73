"""The directions of each block that are worth keeping: a rank-k basis of damped, normalised gradients.

For block l with a sample's gradients G (s x d) and damping lambda, the rows are scaled by
1 / sqrt(lambda + ||g||^2), as DataInf weighs them (Kwon et al. 2024, equation 5), and the leading right singular
vectors of the result are kept. When d > s the s x s Gram matrix is decomposed instead, so that a wide block never
needs a d x d matrix.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from influence.arrays import Array, cast, dtype_name, namespace, transfer
from influence.compact.arrays import Float64s, to_numpy
from influence.damping import block_damping

#: Directions below this share of the leading singular value are rounding noise of a float32 Gram matrix.
_NOISE = 1e-3


@dataclass(frozen=True, slots=True)
class BlockBasis:
    """One block's basis.

    `vectors` (d, k) has orthonormal columns, but for what rounding moved, leading direction first; k may be 0.
    `spectrum` (s,) float64 holds all squared singular values of the scaled sample, largest first; `kept` is the share
    of their sum inside the basis.
    """

    vectors: Array
    spectrum: Float64s
    kept: float

    @property
    def rank(self) -> int:
        return int(self.vectors.shape[1])


@dataclass(frozen=True)
class Basis:
    """All blocks' bases, in block order. A row's code has `width` numbers: the blocks' codes one after another."""

    blocks: tuple[BlockBasis, ...]

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        return tuple(block.rank for block in self.blocks)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        return spans_of(self.ranks)

    @property
    def width(self) -> int:
        return sum(self.ranks)

    @property
    def kept(self) -> tuple[float, ...]:
        return tuple(block.kept for block in self.blocks)

    def like(self, array: Array) -> "Basis":
        """The same basis in the library, dtype and on the device of `array`."""
        dtype = dtype_name(array)
        moved = [BlockBasis(transfer(block.vectors, array, dtype), block.spectrum, block.kept) for block in self.blocks]
        return Basis(tuple(moved))

    def rounded(self, dtype: str) -> "Basis":
        """The same directions with numbers of another, shorter type, in the type that they have: what is fitted to
        these afterwards, codes and moments, knows nothing of the rounding."""
        kept = [cast(cast(block.vectors, dtype), dtype_name(block.vectors)) for block in self.blocks]
        return Basis(tuple(replace(block, vectors=v) for block, v in zip(self.blocks, kept, strict=True)))

    def project(self, gradients: Sequence[Array]) -> Array:
        """Codes (n, width) of rows whose gradients are given per block, (n, d_l) each, in the basis's library."""
        xp = namespace(gradients[0])
        pairs = zip(gradients, self.blocks, strict=True)
        result: Array = xp.concatenate([block_gradients @ block.vectors for block_gradients, block in pairs], 1)
        return result

    def lift(self, codes: Array) -> list[Array]:
        """The gradients (m, d_l) per block that lie in the span and have these codes (m, width)."""
        return [codes[:, span] @ block.vectors.T for span, block in zip(self.spans, self.blocks, strict=True)]


def spans_of(ranks: Sequence[int]) -> tuple[slice, ...]:
    """Where each block's numbers lie in a concatenated code."""
    ends = np.cumsum(ranks, dtype=int).tolist()
    return tuple(slice(end - rank, end) for end, rank in zip(ends, ranks, strict=True))


def scale_rows(gradients: Array, damping: float) -> Array:
    """Gradients (s, d) over sqrt(damping + ||g||^2); rows of a block that is all zero stay zero."""
    norms = (gradients * gradients).sum(1)
    weights = damping + norms
    result: Array = gradients / (weights + (weights == 0))[:, None] ** 0.5
    return result


def fit_block(gradients: Array, damping: float, rank: int) -> BlockBasis:
    """Fit one block's basis to a sample's gradients (s, d), in their library and dtype.

    Fewer than `rank` vectors come back where the sample spans fewer: a block that is all zero has none.
    """
    vectors, spectrum = leading_directions(scale_rows(gradients, damping), most=rank)
    total = float(spectrum.sum())
    kept = float(spectrum[: vectors.shape[1]].sum()) / total if total > 0 else 1.0
    return BlockBasis(vectors, spectrum, min(kept, 1.0) if math.isfinite(kept) else 0.0)


def fit_basis(
    gradients: Sequence[Array],
    damping: Sequence[float],
    ranks: int | Sequence[int],
    *,
    watch: Callable[[int], None] | None = None,
) -> Basis:
    """Fit every block, (s, d_l) each, with one rank for all or one per block; `watch` is told how many are fitted."""
    wanted = [ranks] * len(gradients) if isinstance(ranks, int) else ranks
    fitted = []
    for block in map(fit_block, gradients, damping, wanted):
        fitted.append(block)
        if watch is not None:
            watch(len(fitted))
    return Basis(tuple(fitted))


def damping_of(gradients: Sequence[Array], scale: float) -> list[float]:
    """lambda_l = scale * mean ||g_l||^2 / d_l from a sample's gradients (s, d_l)."""
    return [block_damping(float((block * block).sum(1).mean()), block.shape[1], scale) for block in gradients]


def leading_directions(scaled: Array, most: int | None = None) -> tuple[Array, Float64s]:
    """Right singular vectors (d, r) of (s, d), at most `most`, and all squared singular values, by the smaller Gram
    matrix.

    Largest first, signs fixed; directions that are rounding noise are left out. Those that nobody asks for are not
    made: of a wide block they cost more than the Gram matrix.
    """
    xp = namespace(scaled)
    rows, width = scaled.shape
    gram = scaled @ scaled.T if width > rows else scaled.T @ scaled
    double: Any = xp.float64
    values, vectors = xp.linalg.eigh(xp.asarray(gram, dtype=double))
    spectrum = np.maximum(to_numpy(values)[::-1], 0.0)
    usable = int(np.count_nonzero(spectrum > spectrum.max(initial=0.0) * _NOISE**2))
    order = list(range(rows - 1 if width > rows else width - 1, -1, -1))[
        : usable if most is None else min(usable, most)
    ]
    leading = xp.asarray(vectors[:, order], dtype=scaled.dtype)
    if width > rows:
        leading = xp.linalg.qr(scaled.T @ leading)[0]
    return _fix_signs(leading), spectrum


def _fix_signs(vectors: Array) -> Array:
    """Make each column's largest entry positive: an eigenvector's sign is otherwise the library's accident."""
    if vectors.shape[1] == 0:
        return vectors
    xp = namespace(vectors)
    largest = vectors[abs(vectors).argmax(0), list(range(vectors.shape[1]))]
    result: Array = vectors * xp.sign(largest)
    return result
