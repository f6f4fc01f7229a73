"""Losses of single rows: the mean or sum over a row's own supervised tokens, whatever batch it is in."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from influence.contracts.common import Reduction
from workers.rows import IGNORED

#: Below this share of supervised positions it pays to copy their logits out before the softmax.
_SPARSE_SHARE = 0.7


def row_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (B,) of class logits (B, C) with labels (B,)."""
    return functional.cross_entropy(_wide(logits), labels, reduction="none")


def row_mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy (B,) over each row's supervised positions, logits (B, T, V), labels (B, T) already aligned.

    A row without one has loss NaN.
    """
    totals = row_sum_cross_entropy(logits, labels)
    return totals / (labels != IGNORED).sum(dim=1).to(totals.dtype)


def row_sum_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum in place of the mean; 0 for a row without a supervised position.

    Only supervised positions are brought to float32 and through the softmax where they are few.
    """
    rows, positions = torch.nonzero(labels != IGNORED, as_tuple=True)
    if len(rows) < _SPARSE_SHARE * labels.numel():
        losses = functional.cross_entropy(_wide(logits[rows, positions]), labels[rows, positions], reduction="none")
        totals = torch.zeros(len(labels), dtype=losses.dtype, device=losses.device)
        return totals.index_add(0, rows, losses)
    wide = _wide(logits).flatten(0, 1)
    every = functional.cross_entropy(wide, labels.flatten(), reduction="none", ignore_index=IGNORED)
    return every.view_as(labels).sum(dim=1)


#: Row losses of tokens' losses, by how these are put together.
TOKEN_LOSSES: Mapping[Reduction, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": row_mean_cross_entropy,
    "sum": row_sum_cross_entropy,
}


def supervised_logits(
    model: nn.Module, inputs: Mapping[str, Any], labels: Tensor, *, causal: bool = True
) -> tuple[Tensor, Tensor]:
    """Logits (B, K, V) of each row's own supervised positions and their targets (B, K); K is the most any row has.

    A hook hands the language model's head nothing but the hidden states that carry loss: with a large vocabulary the
    logits of all others would cost more than the model. What the model does to logits afterwards stays as it is.
    A model that does not say what its head is gives all logits first.
    `causal`: position t predicts label t + 1; else label t. Unused places have target IGNORED.
    """
    targets = labels[:, 1:] if causal else labels
    supervised = targets != IGNORED
    most = max(int(supervised.sum(dim=1).max()), 1)
    places = supervised.int().argsort(dim=1, descending=True, stable=True)[:, :most]

    def pick(_head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *others = args
        index = places.to(hidden.device)[:, :, None].expand(-1, -1, hidden.shape[-1])
        return (hidden.gather(1, index), *others)

    find_head = getattr(model, "get_output_embeddings", None)
    head: nn.Module | None = find_head() if find_head is not None else None
    if head is None:
        whole: Tensor = model(**inputs).logits
        return whole.gather(1, places[:, :, None].expand(-1, -1, whole.shape[-1])), targets.gather(1, places)
    handle = head.register_forward_pre_hook(pick)
    try:
        logits: Tensor = model(**inputs).logits
    finally:
        handle.remove()
    return logits, targets.gather(1, places)


def token_cross_entropy(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each token (B, T) from what `supervised_logits` gives for labels (B, T), the causal ones; NaN
    where none falls."""
    found = functional.cross_entropy(_wide(logits).transpose(1, 2), targets, reduction="none", ignore_index=IGNORED)
    placed = torch.full(labels.shape, torch.nan, dtype=found.dtype, device=found.device)
    is_supervised = labels != IGNORED
    is_supervised[:, 0] = False
    placed[is_supervised] = found[targets != IGNORED]
    return placed


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
