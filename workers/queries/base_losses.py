"""What the base model alone makes of test points: their losses with the adapter switched off."""

from collections.abc import Sequence
from typing import Any

import torch

from workers.gradients.adapters import adapter_off
from workers.rows import EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.sharing.passes import share_forward
from workers.runtime.state import Runtime


def find_base_losses(runtime: Runtime, model: HotModel, encoded: Sequence[EncodedRow]) -> list[float] | None:
    """Losses (m,) without the adapter; None where what is left then is not the base model, or there is no adapter."""
    if not model.keeps_base:
        return None

    def compute(module: torch.nn.Module, batch: Any) -> torch.Tensor:
        with adapter_off(module):
            return model.collector.evaluate(batch)

    losses = torch.empty(len(encoded), dtype=torch.float32)
    for positions, found in share_forward(runtime, model, encoded, compute, model.passes.base_losses):
        losses[positions] = found.float().cpu()
    return losses.tolist()
