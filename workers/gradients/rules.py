"""The gradient of a module's weight, row by row, from what went in and the gradient delta of what came out.

For y = x W' the gradient of one row's loss is the sum over its positions t of the outer product delta_t x_t'. Rows of
the batch stay apart, so one backward pass of the whole batch serves every row. Other modules are run again, alone:
`torch.func.vmap` of their own small backward, row by row; LoRA of convolutions, where that costs, is `fused` instead.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten
from transformers.pytorch_utils import Conv1D

Parameters = Mapping[str, nn.Parameter]

#: Modules that multiply, by exact type (a subclass may compute something else); True: weight is (in, out).
MULTIPLIERS: dict[type[nn.Module], bool] = {nn.Linear: False, Conv1D: True}


def split_rows(values: Tensor, rows: int, lengths: Collection[int], copies: int = 1) -> Tensor | None:
    """View values as (rows, positions, width), or None where it does not show which row a position belongs to.

    Taken are tensors with the batch first, each row as so many `copies`, whose positions all are the row's; rows that a
    model cuts into as many windows each, (rows * windows, positions, width), one row's after the other's; and tokens in
    one long list, row after row, (rows * length, width) with a length that the batch's inputs have. Windows in another
    order are found out when fast gradients are compared with those of rows alone.
    """
    if values.ndim < 2:
        return None
    is_windows = values.ndim > 2 and values.shape[0] % (rows * copies) == 0
    if values.shape[0] == rows * copies or is_windows:
        return values.reshape(rows, -1, values.shape[-1])
    if values.ndim == 2 and values.shape[0] % rows == 0 and values.shape[0] // rows in lengths:
        return values.reshape(rows, -1, values.shape[-1])
    return None


def multiply_rows(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum of outer products per row: (B, T, p) and (B, T, q) into (B, p * q) of `dtype`, accumulated in `dtype`."""
    if right.dtype != left.dtype:
        right = right.to(left.dtype)
    if left.shape[1] == 1:
        found = left.transpose(1, 2).to(dtype) * right.to(dtype)
    elif left.dtype == dtype:
        found = torch.bmm(left.transpose(1, 2), right)
    elif left.is_cuda and dtype == torch.float32:
        found = torch.bmm(left.transpose(1, 2), right, out_dtype=dtype)
    else:
        found = torch.bmm(left.transpose(1, 2).to(dtype), right.to(dtype))
    return found.flatten(1)


def position_products(left: Tensor, right: Tensor, counted: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Sums over the positions `counted` (B, T) of `left left'` (p, p) and `right right'` (q, q), in `dtype`.

    left (B, T, p) and right (B, T, q) are what a gradient is the product of.
    """
    p, q = (values.flatten(0, 1)[counted.flatten()].to(dtype) for values in (left, right))
    return p.t() @ p, q.t() @ q


def multiplier_pair(module: nn.Module, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """What the gradient of a Linear's or Conv1D's weight is the product of, in the order of the weight's sides."""
    return (x, delta) if MULTIPLIERS[type(module)] else (delta, x)


def multiplier_gradients(
    module: nn.Module, parameters: Parameters, x: Tensor, delta: Tensor, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Gradients (B, d) of a Linear's or Conv1D's own `weight` and `bias`, x and delta being (B, T, width)."""
    found = {}
    if "weight" in parameters:
        found["weight"] = multiply_rows(*multiplier_pair(module, x, delta), dtype)
    if "bias" in parameters:
        found["bias"] = delta.sum(dim=1, dtype=dtype)
    return found


def replayed_gradients(
    module: nn.Module, parameters: Parameters, arguments: tuple[Any, Any], delta: Tensor, copies: int = 1
) -> dict[str, Tensor]:
    """Gradients (B, d) of any module's parameters by running the module again for one row at a time, vectorised.

    `arguments` are the (args, kwargs) of its call. Tensors whose first size is that of delta (B * copies, ...) are
    taken apart by row, with all of its copies at once; everything else is the same for all rows.
    """
    leaves, structure = tree_flatten(arguments)
    by_row = [isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == len(delta) for leaf in leaves]
    split = tuple(_by_row(leaf, copies) for leaf, chosen in zip(leaves, by_row, strict=True) if chosen)
    weights = {name: parameter.detach() for name, parameter in parameters.items()}

    def gradients_of_row(delta_of_row: Tensor, *of_row: Tensor) -> dict[str, Tensor]:
        own = iter(of_row)
        mixed = [next(own) if chosen else leaf for leaf, chosen in zip(leaves, by_row, strict=True)]
        args, kwargs = tree_unflatten(mixed, structure)
        outcome = vjp(lambda changed: functional_call(module, changed, args, kwargs), weights)
        gradients: dict[str, Tensor] = outcome[1](delta_of_row.to(outcome[0].dtype))[0]
        return gradients

    found = vmap(gradients_of_row)(_by_row(delta, copies), *split)
    return {name: values.detach().flatten(1) for name, values in found.items()}


def _by_row(values: Tensor, copies: int) -> Tensor:
    """(B * copies, ...) as (B, copies, ...)."""
    return values.reshape(-1, copies, *values.shape[1:])
