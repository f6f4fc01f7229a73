"""Joint: Gauss-Newton over all blocks together, no block-diagonal approximation.

    influence(v, k) = - <v, (1/n sum_i g_i g_i' + diag(lambda_l))^-1 g_k>

with g_i all blocks of row i joined, and each block's own lambda_l on its part of the diagonal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse, invert_damped, invert_dampings
from influence.methods.codes.form import CodeForm
from influence.methods.solves.gauss_newton import GaussNewton


def invert_jointly(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    """The damped Gauss-Newton inverse over all blocks together in code space: (1/n sum c c' + Lambda)^-1."""
    # In units of each block's damping, as one number for all would be far off for most blocks.
    outside, basis = invert_dampings(damping), rows.encoder.basis
    roots = np.sqrt(np.repeat(outside, basis.ranks))
    scales = roots * roots[:, None]
    inside = invert_damped(rows.mean_joint * scales, 1.0) * scales
    return Inverse((inside,), (slice(0, basis.width),), outside)


@dataclass(frozen=True)
class Joint(GaussNewton):
    """All blocks are one system."""

    name: ClassVar[str] = "joint"
    title: ClassVar[str] = "Joint (Gauss-Newton over all blocks)"
    summary: ClassVar[str] = "Gauss-Newton solve over all blocks together, with their interactions."
    cost: ClassVar[str] = "one pass; the first query factors one system"
    default_damping_scale: ClassVar[float | None] = 100.0
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_jointly)

    def grouped(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(names)] if names else []
