"""Hessian-free: the plain inner product of gradients (TracIn with one checkpoint).

    influence(v, k) = - sum_l <v_l, g_lk>

Source: Pruthi et al. 2020, TracIn; Charpiat et al. 2019.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from influence.arrays import Array, cast
from influence.methods.algebra.blocks import TrainBlock, Vectors, check_blocks
from influence.methods.base import LinearMethod


@dataclass(frozen=True, slots=True, eq=False)
class HessianFreeState:
    """Nothing but the rows."""

    blocks: Mapping[str, TrainBlock]


class HessianFree(LinearMethod[HessianFreeState]):
    """One pass per query, no curvature, no damping."""

    name: ClassVar[str] = "hessian_free"
    title: ClassVar[str] = "Hessian-free (gradient product)"
    summary: ClassVar[str] = "Inner product of test and training gradients: no curvature, no damping."
    cost: ClassVar[str] = "one pass"
    default_damping_scale: ClassVar[float | None] = None

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> HessianFreeState:
        check_blocks(blocks)
        return HessianFreeState(blocks)

    def directions(self, state: HessianFreeState, test: Vectors) -> dict[str, Array]:
        return {name: cast(test[name], block.dtype) for name, block in state.blocks.items()}

    def residual_weights(self, state: HessianFreeState) -> dict[str, float]:
        return dict.fromkeys(state.blocks, 1.0)
