"""Which weights have a fast per-row gradient, and how it is made from what a module saw and what came back.

For a module that multiplies, y = x W', the gradient of one row's loss is the sum over its positions of the outer
product of delta (the gradient of y) and x. Batch rows stay apart, so one backward pass gives every row's gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

#: Makes (B, *parameter shape) of a module's input x and delta, both with the batch first.
Rule = Callable[[nn.Module, Tensor, Tensor], Tensor]


def _positions(values: Tensor) -> Tensor:
    """(B, positions, width) of any tensor with the batch first and the features last."""
    return values.reshape(values.shape[0], -1, values.shape[-1])


def _linear_weight(_: nn.Module, x: Tensor, delta: Tensor) -> Tensor:
    return torch.bmm(_positions(delta).transpose(1, 2), _positions(x))


def _conv1d_weight(_: nn.Module, x: Tensor, delta: Tensor) -> Tensor:
    return torch.bmm(_positions(x).transpose(1, 2), _positions(delta))


def _bias(_: nn.Module, _x: Tensor, delta: Tensor) -> Tensor:
    return _positions(delta).sum(1)


def _embedding_weight(module: nn.Module, ids: Tensor, delta: Tensor) -> Tensor:
    table = torch.zeros(len(ids), *module.weight.shape, dtype=delta.dtype, device=delta.device)  # type: ignore[misc]
    rows = torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids.reshape(len(ids), -1))
    return table.index_put((rows, ids.reshape(len(ids), -1)), _positions(delta), accumulate=True)


#: By exact type: a subclass may compute something else.
RULES: dict[type[nn.Module], dict[str, Rule]] = {
    nn.Linear: {"weight": _linear_weight, "bias": _bias},
    Conv1D: {"weight": _conv1d_weight, "bias": _bias},
    nn.Embedding: {"weight": _embedding_weight},
}


@dataclass
class Capture:
    """Inputs and outputs of one module during one forward pass; a module used twice has two entries."""

    module: nn.Module
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def clear(self) -> None:
        """Let go of the graph."""
        self.inputs.clear()
        self.outputs.clear()


class Recorder:
    """Hooks on the modules with a fast path; records only inside `recording`.

    Checkpointed layers run their forward again during backward: what happens after recording has stopped is ignored.
    """

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.captures = {name: Capture(module) for name, module in modules.items()}
        self._active = False
        self._handles = [
            module.register_forward_hook(self._make_hook(self.captures[name])) for name, module in modules.items()
        ]

    def _make_hook(self, capture: Capture) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._active:
                capture.inputs.append(inputs[0].detach())
                capture.outputs.append(output)

        return hook

    def __enter__(self) -> "Recorder":
        self._active = True
        return self

    def __exit__(self, *_: object) -> None:
        self._active = False

    def clear(self) -> None:
        """Let go of everything recorded."""
        for capture in self.captures.values():
            capture.clear()
