"""Do the fast gradients say what plain autograd says of one row alone?"""

from collections.abc import Mapping

import torch
from torch import Tensor

from influence.contracts.index import Precision

#: Largest relative error of a block, and the share of the row's largest block below which a gradient is rounding.
_TOLERANCE = {"float64": (1e-8, 1e-13), "float32": (1e-3, 1e-6), "bfloat16": (0.25, 1e-2)}


def find_disagreements(
    found: Mapping[str, Tensor], truth: Mapping[str, Tensor], row: int, precision: Precision
) -> set[str]:
    """Blocks whose gradient of `row`, found (B, d), is not the true one (d,); a block not found counts as zero."""
    norms = {block: values.norm() for block, values in truth.items()}
    largest = max((float(norm) for norm in norms.values()), default=0.0)
    wrong = set()
    for block, values in truth.items():
        relative, rounding = _TOLERANCE[_kind(values, precision)]
        difference = (found[block][row] - values).norm() if block in found else norms[block]
        if not float(difference) <= relative * float(norms[block]) + rounding * largest:
            wrong.add(block)
    return wrong


def is_conclusive(truth: Mapping[str, Tensor]) -> bool:
    """Whether a row can be compared at all: its gradients are finite."""
    return all(bool(torch.isfinite(values.sum())) for values in truth.values())


def _kind(values: Tensor, precision: Precision) -> str:
    return "float64" if values.dtype == torch.float64 and precision == "float32" else precision
