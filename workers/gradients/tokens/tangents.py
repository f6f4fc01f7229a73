"""How the loss of each token of a row changes as the trainable weights go in a direction: forward-mode differentiation.

A row's part of <u, g> by its own tokens: its loss L is the mean or the sum of its tokens' losses l_t, so that
`<u, grad L> = sum_t share_t d/de l_t(W + e u)` at e = 0. One pass with dual numbers gives the derivatives of all tokens
of all rows of a batch, for whatever layers the weights lie in.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from influence.contracts.common import Reduction
from influence.errors import UnsupportedModule
from workers.gradients.trainable import TrainableTensor
from workers.rows import Batch

#: Losses of tokens (B, T) of a batch, NaN where none falls.
TokenLosses = Callable[[nn.Module, Batch], Tensor]


def split_by_loss(
    model: nn.Module,
    tensors: Sequence[TrainableTensor],
    losses_of: TokenLosses,
    batch: Batch,
    directions: Mapping[str, Tensor],
    reduction: Reduction,
) -> Tensor:
    """Parts (B, T) float64 of <u, g>, u being `directions` (d,) by block: of each token's own loss, 0 without one.

    Raises UnsupportedModule where something in the model has no forward derivative.
    """
    held = _Held(model, losses_of)
    names = {tensor.block: f"model.{tensor.uses[0].module_name}.{tensor.uses[0].attribute}" for tensor in tensors}
    weights = {names[tensor.block]: tensor.parameter.detach() for tensor in tensors}
    tangents = {
        names[tensor.block]: directions[tensor.block].view_as(tensor.parameter).to(tensor.parameter)
        for tensor in tensors
    }
    try:
        # Of the kernels for attention only the plain one has a forward derivative.
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            found = jvp(lambda changed: functional_call(held, changed, (batch,)), (weights,), (tangents,))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:  # what autograd says where there is no forward derivative
        raise UnsupportedModule(
            f"What each token's loss adds cannot be told of this model: {str(error).splitlines()[0][:200]}.",
            hint="Send 'tokens_by' \"position\", or leave 'tokens' out of 'include'.",
        ) from error
    losses, changes = found[0], found[1]
    falls = ~losses.isnan()
    parts = torch.where(falls, changes, torch.zeros_like(changes)).double()
    return parts if reduction == "sum" else parts / falls.sum(dim=1, keepdim=True)


class _Held(nn.Module):
    """The losses of a model's tokens as a function that `functional_call` can be asked of with other weights."""

    def __init__(self, model: nn.Module, losses_of: TokenLosses) -> None:
        super().__init__()
        self.model = model
        self._losses_of = losses_of

    def forward(self, batch: Batch) -> Tensor:
        return self._losses_of(self.model, batch)
