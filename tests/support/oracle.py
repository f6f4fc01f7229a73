"""Plain float64 truth: one row at a time, dense algebra, nothing of the product's engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.loading.checkpoint import LoadedCheckpoint

Blocks = list[NDArray[np.float64]]


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


def dense_datainf(test: Blocks, train: Blocks, scale: float = 0.1) -> NDArray[np.float64]:
    """Influence (m, n) with the mean of the rank-one terms' inverses written out, d x d."""
    total = np.zeros((len(test[0]), len(train[0])))
    for tests, trains in zip(test, train, strict=True):
        width = trains.shape[1]
        damping = scale * np.mean(np.sum(trains**2, axis=1)) / width
        inverse = np.mean([np.linalg.inv(np.outer(g, g) + damping * np.eye(width)) for g in trains], axis=0)
        total -= tests @ inverse @ trains.T
    return total
