"""Plain float64 truth: one row at a time, dense algebra, nothing of the product's engine."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workers.loading.checkpoint import LoadedCheckpoint

Blocks = list[NDArray[np.float64]]
Factors = dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]


def loop_gradients(loaded: LoadedCheckpoint, rows: Sequence[dict[str, Any]]) -> Blocks:
    """Gradients (n, d) of each weight (no biases), by autograd on batches of one, float64."""
    model = loaded.model.double()
    parameters = [p for name, p in model.named_parameters() if p.requires_grad and not name.endswith("bias")]
    found: list[list[NDArray[np.float64]]] = [[] for _ in parameters]
    for row in loaded.task.tokenise(rows):
        loss = loaded.task.row_losses(model, loaded.task.collate([row]))[0]
        for values, gradient in zip(found, torch.autograd.grad(loss, parameters), strict=True):
            values.append(gradient.flatten().double().numpy())
    return [np.stack(values) for values in found]


def loop_factors(model: nn.Module, losses: Iterable[Callable[[], Tensor]]) -> Factors:
    """Kronecker factors of weights of linear layers, sums over losses of one row each, by the parameter's identity.

    Each is asked of the layer's inputs and output gradients by themselves, at positions where the gradient is not zero
    there or where a module around the layer puts out: no size decides.
    """
    found: Factors = {}
    inputs: dict[nn.Module, list[Tensor]] = {}
    reached: dict[nn.Module, Tensor] = {}
    around = {part: [outer for outer in model.modules() if part in set(outer.modules())] for part in model.modules()}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def hear(module: Any, delta: Tensor) -> None:
        reached[module] = delta.ne(0).any(dim=-1)
        if inputs.get(module):
            x = inputs[module].pop()
            known = [reached[outer] for outer in around[module] if outer in reached]
            counted = torch.stack([places for places in known if places.shape == x.shape[:-1]]).any(dim=0)
            sides = [delta[counted].double(), x[counted].double()]
            left, right = ((side.T @ side).numpy() for side in (sides if type(module) is nn.Linear else sides[::-1]))
            before = found.get(id(module.weight), (0.0, 0.0))
            found[id(module.weight)] = (before[0] + left, before[1] + right)

    def listen(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.requires_grad:
            if type(module) in (nn.Linear, Conv1D):
                inputs.setdefault(module, []).append(args[0].detach())
            listened: Any = first
            listened.register_hook(partial(hear, module))

    handles = [part.register_forward_hook(listen) for part in model.modules()]
    for loss_of in losses:
        reached.clear()
        torch.autograd.grad(loss_of(), trainable, allow_unused=True)
    for handle in handles:
        handle.remove()
    return found


def dense_ekfac(test: Blocks, train: Blocks, factors: Sequence[Any], scale: float = 0.1) -> NDArray[np.float64]:
    """Influence (m, n) with the eigenbasis of each block's factors written out, d x d."""
    total = np.zeros((len(test[0]), len(train[0])))
    for tests, trains, pair in zip(test, train, factors, strict=True):
        damping = scale * np.mean(np.sum(trains**2, axis=1)) / trains.shape[1]
        basis = np.kron(*(np.linalg.eigh(factor)[1] for factor in pair))
        inverse = (basis / (np.mean((trains @ basis) ** 2, axis=0) + damping)) @ basis.T
        total -= tests @ inverse @ trains.T
    return total


def dense_datainf(test: Blocks, train: Blocks, scale: float = 0.1) -> NDArray[np.float64]:
    """Influence (m, n) with the mean of the rank-one terms' inverses written out, d x d."""
    total = np.zeros((len(test[0]), len(train[0])))
    for tests, trains in zip(test, train, strict=True):
        width = trains.shape[1]
        damping = scale * np.mean(np.sum(trains**2, axis=1)) / width
        inverse = np.mean([np.linalg.inv(np.outer(g, g) + damping * np.eye(width)) for g in trains], axis=0)
        total -= tests @ inverse @ trains.T
    return total
