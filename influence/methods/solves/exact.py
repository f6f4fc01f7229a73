"""Exact: the block-diagonal Gauss-Newton matrix solved as it stands, the paper's reference.

    influence(v, k) = - sum_l <v_l, (1/n sum_i g_li g_li' + lambda_l I)^-1 g_lk>

Source: Kwon et al. 2024, DataInf, equation 3 ("exact").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse, invert_damped, invert_dampings
from influence.methods.codes.form import CodeForm
from influence.methods.solves.gauss_newton import GaussNewton


def invert_exactly(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    """The damped Gauss-Newton inverse of each block in code space: (1/n sum c c' + lambda_l I)^-1."""
    pairs = zip(rows.mean_plain(), damping, strict=True)
    inside = [invert_damped(block, scale) for block, scale in pairs]
    return Inverse(tuple(inside), rows.encoder.basis.spans, invert_dampings(damping))


@dataclass(frozen=True)
class Exact(GaussNewton):
    """Each block is a system of its own."""

    name: ClassVar[str] = "exact"
    title: ClassVar[str] = "Exact (block-diagonal Gauss-Newton)"
    summary: ClassVar[str] = "Block-diagonal Gauss-Newton solve, DataInf's reference; needs more damping than it."
    cost: ClassVar[str] = "one pass; the first query factors n x n systems"
    default_damping_scale: ClassVar[float | None] = 3.0
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_exactly)

    def grouped(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [(name,) for name in names]
