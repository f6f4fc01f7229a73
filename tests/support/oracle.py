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

    Each is asked of the layer's inputs and output gradients by themselves, at positions that a gradient reaches.
    """
    found: Factors = {}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def add(module: Any, x: Tensor, delta: Tensor) -> None:
        sizes = delta.norm(dim=-1) * x.norm(dim=-1)
        reached = sizes > 1e-5 * sizes.max()
        sides = [delta[reached].double(), x[reached].double()]
        left, right = ((side.T @ side).numpy() for side in (sides if type(module) is nn.Linear else sides[::-1]))
        known = found.get(id(module.weight), (0.0, 0.0))
        found[id(module.weight)] = (known[0] + left, known[1] + right)

    def listen(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(partial(add, module, args[0].detach()))

    handles = [part.register_forward_hook(listen) for part in model.modules() if type(part) in (nn.Linear, Conv1D)]
    for loss_of in losses:
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
