"""Gradients of a task's rows in one padded batch, against plain autograd of one row at a time and a loss by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.intake.adapters import accept_adapter
from influence.contracts.checkpoint import BaseModelRef
from influence.contracts.index import GradientSettings
from support.tiny import TinyCheckpoint
from support.trials.float64 import Float64Throughout
from workers.gradients.collector import GradientCollector
from workers.gradients.trainable import readable_name
from workers.loading.checkpoint import LoadedCheckpoint, load_checkpoint
from workers.loading.options import LoadOptions

TOLERANCE = 1e-10
#: The loss () of one row by hand: of the model and the row as it was sent.
LossByHand = Callable[[Any, dict[str, Any]], Tensor]


def load_tiny(tiny: TinyCheckpoint, *, task: str | None = None, **settings: Any) -> LoadedCheckpoint:
    """A tiny checkpoint through intake and loading, in float64."""
    base = BaseModelRef(name="tiny", kind="path", location=str(tiny.base))
    loaded = load_checkpoint(
        accept_adapter(tiny.adapter, base, task=task),
        tiny.adapter,
        GradientSettings(**{"max_length": 64, **settings}),
        LoadOptions(cache_dir=Path(tiny.base)),
    )
    loaded.model.double()
    return loaded


def assert_rows_exact(loaded: LoadedCheckpoint, rows: Sequence[dict[str, Any]], loss_by_hand: LossByHand) -> None:
    """Loss and every block's gradient of each row equal what autograd says of the row alone, to 1e-10.

    The second pass over the batch is the one that is not checked by the collector itself.
    """
    collector = GradientCollector(loaded.model, loaded.task.row_losses, include_bias=True)
    batch = loaded.task.collate(loaded.task.tokenise(rows))
    with Float64Throughout():
        collector.collect(batch)
        found = collector.collect(batch)
    assert all(block.path == "fast" for block in collector.blocks)
    for place, row in enumerate(rows):
        loss, gradients = _by_autograd(loaded.model, row, loss_by_hand)
        torch.testing.assert_close(found.losses[place], loss, rtol=TOLERANCE, atol=TOLERANCE)
        assert found.blocks.keys() == gradients.keys()
        largest = max(float(values.norm()) for values in gradients.values())
        assert largest > 0
        for name, values in gradients.items():
            error = float((found.blocks[name][place] - values).norm())
            assert error <= TOLERANCE * max(float(values.norm()), 1e-3 * largest), f"row {place}, {name}: {error:.1e}"


def _by_autograd(model: Any, row: dict[str, Any], loss_by_hand: LossByHand) -> tuple[Tensor, dict[str, Tensor]]:
    trainable = {readable_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    with Float64Throughout():
        loss = loss_by_hand(model, row)
        found = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
    return loss.detach(), {
        name: (torch.zeros_like(p) if values is None else values).flatten()
        for (name, p), values in zip(trainable.items(), found, strict=True)
    }
