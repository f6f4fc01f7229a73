"""Hessian-free: the plain inner product of gradients (TracIn with one checkpoint).

    influence(v, k) = - sum_l <v_l, g_lk>

Source: Pruthi et al. 2020, TracIn; Charpiat et al. 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from influence.arrays import Array, cast
from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse
from influence.methods.algebra.blocks import TrainBlock, Vectors, check_blocks
from influence.methods.base import LinearMethod
from influence.methods.codes.form import CodeForm


@dataclass(frozen=True, slots=True, eq=False)
class HessianFreeState:
    """Nothing but the rows."""

    blocks: Mapping[str, TrainBlock]


def invert_nothing(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    """The identity: plain gradient products, no curvature."""
    basis = rows.encoder.basis
    return Inverse(tuple(np.eye(rank) for rank in basis.ranks), basis.spans, np.ones(len(basis.ranks)))


class HessianFree(LinearMethod[HessianFreeState]):
    """One pass per query, no curvature, no damping."""

    name: ClassVar[str] = "hessian_free"
    title: ClassVar[str] = "Hessian-free (gradient product)"
    summary: ClassVar[str] = "Inner product of test and training gradients: no curvature, no damping."
    cost: ClassVar[str] = "one pass"
    default_damping_scale: ClassVar[float | None] = None
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_nothing, has_curvature=False)

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> HessianFreeState:
        check_blocks(blocks)
        return HessianFreeState(blocks)

    def directions(self, state: HessianFreeState, test: Vectors) -> dict[str, Array]:
        return {name: cast(test[name], block.dtype) for name, block in state.blocks.items()}
