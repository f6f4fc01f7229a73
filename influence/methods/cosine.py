"""Cosine: the inner product of gradients over their lengths, all blocks together.

    influence(v, k) = - <v, g_k> / (|v| |g_k|)

Source: Barshan et al. 2020; Hanawa et al. 2021 ("GC").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from influence.arrays import Array, add, cast, inverse_roots, row_dots
from influence.methods.algebra.blocks import TrainBlock, Vectors, check_blocks
from influence.methods.base import Method, Scores, score_rows
from influence.methods.codes.form import CodeForm, squared_lengths
from influence.methods.hessian_free import invert_nothing


@dataclass(frozen=True, slots=True, eq=False)
class CosineState:
    """`row_factors` (n,) are 1/|g_k|."""

    blocks: Mapping[str, TrainBlock]
    row_factors: Array


class Cosine(Method[CosineState]):
    """One pass per query. Every row scores 1 on itself, so there is no self-influence to tell rows apart."""

    name: ClassVar[str] = "cosine"
    title: ClassVar[str] = "Cosine of gradients"
    summary: ClassVar[str] = "Angle between test and training gradients: rows with large gradients do not stand out."
    cost: ClassVar[str] = "one pass"
    default_damping_scale: ClassVar[float | None] = None
    on_codes: ClassVar[CodeForm | None] = CodeForm(
        invert_nothing, squared_lengths, squared_lengths, has_curvature=False
    )

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> CosineState:
        check_blocks(blocks)
        squares = add(cast(block.squared_norms, block.dtype) for block in blocks.values())
        return CosineState(blocks, inverse_roots(squares))

    def apply(self, state: CosineState, test: Vectors, *, rows: Array | None = None, per_block: bool = False) -> Scores:
        vectors = {name: cast(test[name], block.dtype) for name, block in state.blocks.items()}
        squares = add(row_dots(part, part) for part in vectors.values())
        scores = score_rows(state.blocks, vectors, rows=rows, per_block=per_block)
        row_factors = state.row_factors if rows is None else state.row_factors[rows]
        return scores.rescale(inverse_roots(squares), row_factors)
