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

import numpy as np

from influence.arrays import Array, cast, dtype_name, namespace, on_host, transfer
from influence.compact.arrays import Float64s, to_numpy
from influence.damping import block_damping

#: Directions below this share of the leading singular value are rounding noise of a float32 Gram matrix.
_NOISE = 1e-3
#: Of a matrix of so many rows and up, eigenvectors that are fewer than its order by this factor are found by
#: iteration: of 1,024 rows 25 take 20 to 70 ms instead of 200.
_MANY_ROWS, _FEW = 256, 8
_SEED = 0


@dataclass(frozen=True, slots=True)
class BlockBasis:
    """One block's basis.

    `vectors` (d, k) has orthonormal columns, but for what rounding moved, leading direction first; k may be 0. `kept`
    is their share of the scaled sample's squared singular values.
    """

    vectors: Array
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
        moved = [BlockBasis(transfer(block.vectors, array, dtype), block.kept) for block in self.blocks]
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
    return BlockBasis(*leading_directions(scale_rows(gradients, damping), rank))


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


def leading_directions(scaled: Array, most: int) -> tuple[Array, float]:
    """Right singular vectors (d, r) of (s, d), at most `most`, and their share of all squared singular values, by the
    smaller Gram matrix.

    Largest first, signs fixed; directions that are rounding noise are left out. Of numbers that are not finite there
    are none. On the host numpy and scipy make them of tensors, too: torch's take 2 to 5 times as long there, for its
    threads wait for one another thousands of times.
    """
    if str(scaled.device) == "cpu" and not isinstance(scaled, np.ndarray):
        vectors, kept = leading_directions(on_host(scaled), most)
        return transfer(vectors, scaled, dtype_name(scaled)), kept
    xp = namespace(scaled)
    rows, width = scaled.shape
    gram = scaled @ scaled.T if width > rows else scaled.T @ scaled
    total = float(cast(gram.diagonal(), "float64").sum())
    if not math.isfinite(total):
        return scaled.T[:, :0], 0.0
    values, vectors = _leading_eigenvectors(cast(gram, "float64"), min(most, *scaled.shape))
    spectrum = np.maximum(values, 0.0)
    usable = int(np.count_nonzero(spectrum > spectrum.max(initial=0.0) * _NOISE**2))
    leading = xp.asarray(vectors[:, :usable], dtype=scaled.dtype)
    if width > rows:
        leading = xp.linalg.qr(scaled.T @ leading)[0]
    return _fix_signs(leading), min(float(spectrum[:usable].sum()) / total, 1.0) if total > 0 else 1.0


def _leading_eigenvectors(gram: Array, most: int) -> tuple[Float64s, Array]:
    """The largest eigenvalues (most,), largest first, and their vectors (order, most)."""
    order = int(gram.shape[0])
    if not isinstance(gram, np.ndarray):
        values, vectors = namespace(gram).linalg.eigh(gram)
    elif most * _FEW <= order and order >= _MANY_ROWS:
        values, vectors = _iterate(gram, most)
    else:
        values, vectors = np.linalg.eigh(gram)
    backwards = list(range(len(values) - 1, len(values) - 1 - most, -1))
    return to_numpy(values)[backwards].astype(np.float64), vectors[:, backwards]


def _iterate(gram: Float64s, most: int) -> tuple[Float64s, Float64s]:
    """By Lanczos to the last digit, from a start of its own; all of them where that does not end."""
    from scipy.sparse.linalg import ArpackError, eigsh  # the API reads this module, and fits nothing

    start = np.random.default_rng(_SEED).standard_normal(len(gram))
    try:
        values, vectors = eigsh(gram, k=most, which="LA", v0=start)
    except ArpackError:
        return np.linalg.eigh(gram)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _fix_signs(vectors: Array) -> Array:
    """Make each column's largest entry positive: an eigenvector's sign is otherwise the library's accident."""
    if vectors.shape[1] == 0:
        return vectors
    xp = namespace(vectors)
    largest = vectors[abs(vectors).argmax(0), list(range(vectors.shape[1]))]
    result: Array = vectors * xp.sign(largest)
    return result
