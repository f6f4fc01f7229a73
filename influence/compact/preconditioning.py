"""The optimiser's metric: coordinates in which a step of Adam is a plain gradient step.

Adam divides each parameter's step by the root of its gradients' second moment. In coordinates `P^(1/2) g`, with
`P = 1 / (sqrt(m) + eps)`, its step is along the gradient, and inner products say what such a step on one row does to
another's loss. m is made from rows at one checkpoint, without the optimiser's state: for batches of B rows drawn from
them, `m = mean(g^2) / B + (1 - 1/B) mean(g)^2` is the mean square of a batch's gradient. eps is a tenth of the median
of sqrt(m) over parameters that have any gradient. Source: Kingma and Ba 2015, Adam (the second moment); Xia et al.
2024, LESS (influence by Adam's steps); that it agrees with retraining is measured, see docs/method.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.arrays import Array, cast, dtype_name, on_host, transfer

#: eps over the median root of the second moments: from 0.03 to 1 it made no difference.
EPSILON_SHARE = 0.1
Float64s = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GradientMoments:
    """Means over rows of one block's gradients and of their squares, both (d,) float64 on the host."""

    mean: Float64s
    square: Float64s


def take_moments(parts: Iterable[Array]) -> GradientMoments:
    """Moments of one block's rows, which come in parts (rows, d), in one pass."""
    rows: int = 0
    total: Any = 0.0
    squares: Any = 0.0
    for part in parts:
        wide = cast(part, "float64")
        rows += int(wide.shape[0])
        total = total + wide.sum(0)
        squares = squares + (wide * wide).sum(0)
    return GradientMoments(on_host(total) / max(rows, 1), on_host(squares) / max(rows, 1))


def find_roots(moments: Sequence[GradientMoments], batch_rows: int = 1) -> list[Float64s]:
    """`P^(1/2)` (d,) of every block, for a training of `batch_rows` rows per step; all 1 where there is no gradient."""
    sizes = [np.sqrt(block.square / batch_rows + (1 - 1 / batch_rows) * block.mean**2) for block in moments]
    positive = np.concatenate([size[size > 0] for size in sizes])
    if len(positive) == 0:
        return [np.ones_like(size) for size in sizes]
    epsilon = EPSILON_SHARE * float(np.median(positive))
    return [1.0 / np.sqrt(size + epsilon) for size in sizes]


def rescale(gradients: Sequence[Array], roots: Sequence[Any]) -> list[Array]:
    """Gradients (n, d) per block times roots (d,), in the gradients' library and type."""
    pairs = zip(gradients, roots, strict=True)
    return [block * transfer(root, block, dtype_name(block)) for block, root in pairs]
