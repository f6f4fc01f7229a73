"""The slow path: one row at a time by plain autograd, exact for whatever a model computes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workers.gradients.passes import differentiate
from workers.gradients.trainable import TrainableTensor
from workers.rows import Batch


def row_gradients(
    tensors: Sequence[TrainableTensor], losses_of: Callable[[Batch], Tensor], batch: Batch, row: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """One row's loss () and its gradients (d,) by block name; zeros where the loss does not depend on a tensor.

    Raises UnsupportedModule, naming a block, when autograd cannot differentiate through the model.
    """
    losses = losses_of(batch.take_row(row))
    parameters = [tensor.parameter for tensor in tensors]
    if not losses.requires_grad:
        found: Sequence[Tensor | None] = [None] * len(parameters)
    else:
        found = differentiate(losses.sum(), parameters, tensors)
    gradients = {
        tensor.block: _flatten(tensor, values, losses.device) for tensor, values in zip(tensors, found, strict=True)
    }
    return losses.detach()[0], gradients


def loop_gradients(
    tensors: Sequence[TrainableTensor], losses_of: Callable[[Batch], Tensor], batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses (B,) and gradients (B, d) by block name, row after row."""
    losses, found = (
        [],
        {
            tensor.block: torch.empty(
                len(batch), tensor.parameter.numel(), dtype=tensor.dtype, device=batch.labels.device
            )
            for tensor in tensors
        },
    )
    for row in range(len(batch)):
        loss, gradients = row_gradients(tensors, losses_of, batch, row)
        losses.append(loss)
        for block, values in gradients.items():
            found[block][row] = values
    return torch.stack(losses), found


def _flatten(tensor: TrainableTensor, values: Tensor | None, device: torch.device) -> Tensor:
    if values is None:
        return torch.zeros(tensor.parameter.numel(), dtype=tensor.dtype, device=device)
    if values.layout is not torch.strided:
        values = values.to_dense()
    return values.detach().flatten().to(device=device, dtype=tensor.dtype)
