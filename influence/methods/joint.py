"""Joint: Gauss-Newton over all blocks together, no block-diagonal approximation.

    influence(v, k) = - <v, (1/n sum_i g_i g_i' + diag(lambda_l))^-1 g_k>

with g_i all blocks of row i joined, and each block's own lambda_l on its part of the diagonal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from influence.methods.algebra.gauss_newton import GaussNewton


@dataclass(frozen=True)
class Joint(GaussNewton):
    """All blocks are one system."""

    name: ClassVar[str] = "joint"
    title: ClassVar[str] = "Joint (Gauss-Newton over all blocks)"
    summary: ClassVar[str] = "Gauss-Newton solve over all blocks together, with their interactions."
    cost: ClassVar[str] = "one pass; the first query factors one system"
    default_damping_scale: ClassVar[float | None] = 100.0

    def grouped(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(names)] if names else []
