"""The backward pass, and what it means when autograd cannot make one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from influence.errors import UnsupportedModule
from workers.gradients.trainable import TrainableTensor

#: How autograd says that an operation has no derivative, or none that can be asked for in this way.
_NO_DERIVATIVE = ("not implemented", "checkpoint")


def differentiate(loss: Tensor, inputs: Sequence[Any], tensors: Sequence[TrainableTensor]) -> Sequence[Tensor | None]:
    """Gradients of a loss () with respect to tensors or graph edges, None where it does not depend on one.

    Raises UnsupportedModule, naming the first of the blocks it was for, when there is no derivative.
    """
    try:
        return torch.autograd.grad(loss, inputs, allow_unused=True)
    except RuntimeError as error:
        if not isinstance(error, NotImplementedError) and not any(words in str(error) for words in _NO_DERIVATIVE):
            raise
        module = tensors[0].uses[0].module
        raise UnsupportedModule(
            f"No gradient can be taken of '{tensors[0].block}' ({type(module).__name__}): {error}",
            hint="Freeze what lies below what cannot be differentiated; do not use re-entrant checkpointing.",
        ) from error
