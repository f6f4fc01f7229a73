"""Losses of single rows: the mean over a row's own supervised tokens, whatever batch it is in."""

import torch
from torch import Tensor
from torch.nn import functional

from workers.rows import IGNORED


def row_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (B,) of class logits (B, C) with labels (B,)."""
    return functional.cross_entropy(_wide(logits), labels, reduction="none")


def row_mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy (B,) over each row's supervised positions, logits (B, T, V), labels (B, T) already aligned.

    Only supervised positions are brought to float32 and through the softmax. A row without one has loss NaN.
    """
    rows, positions = torch.nonzero(labels != IGNORED, as_tuple=True)
    losses = functional.cross_entropy(_wide(logits[rows, positions]), labels[rows, positions], reduction="none")
    counts = torch.bincount(rows, minlength=len(labels)).to(losses.dtype)
    totals = torch.zeros(len(labels), dtype=losses.dtype, device=losses.device).index_add(0, rows, losses)
    return totals / counts


def row_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error (B,) over each row's targets (B, C)."""
    wide = _wide(predictions)
    return functional.mse_loss(wide, targets.to(wide.dtype), reduction="none").mean(dim=1)


def row_binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy (B,) over each row's classes; logits and targets in [0, 1] are (B, C)."""
    wide = _wide(logits)
    return functional.binary_cross_entropy_with_logits(wide, targets.to(wide.dtype), reduction="none").mean(dim=1)


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
