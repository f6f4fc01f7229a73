"""From a row's gradients to its stored bytes: basis, layout and the sample they were fitted to, as one thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from influence.arrays import Array, chunk_rows, dtype_name, namespace, spans, transfer
from influence.compact.arrays import Float32s, to_numpy
from influence.compact.basis import Basis, damping_of, fit_basis
from influence.compact.codes import Codes, encode_codes
from influence.compact.layout import Layout, fit_even_layout, fit_layout
from influence.compact.moments import Moments, mean_weighted, sum_moments
from influence.compact.preconditioning import find_roots, rescale, take_moments
from influence.contracts.index import CodeDtype, Metric
from influence.errors import InvalidRequest

#: Basis directions per block for each number stored per block: the joint layout picks among them.
OVERSAMPLING = 4
#: Numbers that basis vectors may be kept in; bfloat16 of torch alone.
VectorDtype = Literal["float32", "float16", "bfloat16"]
#: What indexes keep: half the bytes, and fidelity is the same (docs/decisions/0016-half-a-basis.md).
KEPT_VECTORS: VectorDtype = "float16"


@dataclass(frozen=True, slots=True)
class Projected:
    """Rows in code space, before quantising: `codes` (n, K) and exact `squared_norms` (n, blocks), both float32."""

    codes: Float32s
    squared_norms: Float32s

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Projected":
        """Chosen rows, by position or mark."""
        return Projected(self.codes[rows], self.squared_norms[rows])


@dataclass(frozen=True, slots=True)
class Encoder:
    """Fitted once an index, from a random sample of rows, then fixed.

    `damping` (blocks) is lambda of the sample: the weights of all moments. `parameters` are the blocks' sizes.
    With `roots` (d_l,) per block codes, norms and moments are in the optimiser's metric, of gradients times these.

    Of several checkpoints, whose blocks follow one another, the roots hold those of their `weights`, too, so that inner
    products over all blocks are weighted sums over the checkpoints.
    """

    basis: Basis
    layout: Layout
    sample: Projected
    damping: tuple[float, ...]
    parameters: tuple[int, ...]
    roots: tuple[Array, ...] | None = None
    weights: tuple[float, ...] = (1.0,)

    @property
    def checkpoints(self) -> list[tuple[slice, float]]:
        """Which blocks are of each checkpoint, and its weight."""
        return list(zip(_even_spans(len(self.parameters), len(self.weights)), self.weights, strict=True))

    @property
    def metric(self) -> Metric:
        return "gradient" if self.roots is None else "optimizer"

    def like(self, array: Array) -> "Encoder":
        """The same encoder, projecting in the library, dtype and on the device of `array`."""
        roots = None if self.roots is None else tuple(transfer(r, array, dtype_name(array)) for r in self.roots)
        return replace(self, basis=self.basis.like(array), roots=roots)

    def rescale(self, vectors: Sequence[Array]) -> list[Array]:
        """Vectors (m, d_l) per block as the index sees them: times the roots, where it has any."""
        return list(vectors) if self.roots is None else rescale(vectors, self.roots)

    def project(self, gradients: Sequence[Array]) -> Projected:
        """Codes and norms of rows whose gradients are given per block, (n, d_l) each, in the basis's library."""
        return _project(self.basis, self.rescale(gradients))

    def encode(self, rows: Projected, dtype: CodeDtype = "int8") -> Codes:
        """The bytes to store of projected rows."""
        return encode_codes(self.layout.encode(rows.codes), rows.squared_norms, dtype)

    def sum_moments(self, rows: Projected) -> Moments:
        """The rows' share of the index's moments."""
        return sum_moments(rows.codes, rows.squared_norms, self.basis.spans, self.damping)


def fit_encoder(
    gradients: Sequence[Array],
    *,
    rank: int = 16,
    directions: int | Sequence[int] | None = None,
    damping_scale: float = 0.1,
    metric: Metric = "gradient",
    batch_rows: int = 1,
    weights: Sequence[float] = (1.0,),
    vectors: VectorDtype = "float32",
    watch: Callable[[int], None] | None = None,
) -> Encoder:
    """Fit an encoder to a sample's gradients, (s, d_l) a block, numpy or torch, float32 or float64.

    `rank` numbers per block are stored on average: rank * blocks bytes per row as int8. `directions` a block feed the
    layout (by default `OVERSAMPLING` times the rank, one for all or one per block). In the optimiser's `metric` the
    sample makes the preconditioner, for a training of `batch_rows` rows per step. `watch` is told how many blocks are
    fitted.

    `weights` are those of several checkpoints, whose blocks are given one after the other: each has a preconditioner of
    its own, and all share the `rank` numbers per block of one checkpoint. In the optimiser's metric alone.
    Basis vectors are rounded to the type `vectors` before anything is fitted to them.
    """
    if rank < 1 or not gradients or len(gradients[0]) == 0:
        raise InvalidRequest("A basis needs a rank of at least 1 and at least one row.", hint="Give a larger sample.")
    if metric == "gradient" and len(weights) > 1:
        raise InvalidRequest(
            "Several checkpoints share a code in the optimiser's metric alone.", hint="Send metric 'optimizer'."
        )
    roots = _find_roots(gradients, batch_rows, weights) if metric == "optimizer" else None
    if roots is not None:
        gradients = rescale(gradients, roots)
    damping = damping_of(gradients, damping_scale)
    basis = fit_basis(gradients, damping, OVERSAMPLING * rank if directions is None else directions, watch=watch)
    if vectors != "float32":
        basis = basis.rounded(vectors)
    sample = _project(basis, gradients)
    if roots is None:
        weighted = mean_weighted(sum_moments(sample.codes, sample.squared_norms, basis.spans, damping))
        layout = fit_layout(sample.codes, basis.spans, weighted, damping, rank * len(gradients))
    else:
        layout = fit_even_layout(sample.codes, rank * len(gradients) // len(weights))
    sizes = tuple(int(block.shape[1]) for block in gradients)
    return Encoder(basis, layout, sample, tuple(damping), sizes, roots, tuple(weights))


def _find_roots(gradients: Sequence[Array], batch_rows: int, weights: Sequence[float]) -> tuple[Array, ...]:
    pieces = ([block[start:stop] for start, stop in spans(len(block), chunk_rows(block))] for block in gradients)
    moments = [take_moments(parts) for parts in pieces]
    found = [
        roots * weight**0.5
        for own, weight in zip(_even_spans(len(moments), len(weights)), weights, strict=True)
        for roots in find_roots(moments[own], batch_rows)
    ]
    return tuple(transfer(r, block, dtype_name(block)) for r, block in zip(found, gradients, strict=True))


def _even_spans(count: int, parts: int) -> list[slice]:
    return [slice(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def _project(basis: Basis, gradients: Sequence[Array]) -> Projected:
    xp = namespace(gradients[0])
    norms = xp.stack([(block * block).sum(1) for block in gradients], 1)
    codes = basis.project(gradients)
    return Projected(to_numpy(codes).astype(np.float32), to_numpy(norms).astype(np.float32))
