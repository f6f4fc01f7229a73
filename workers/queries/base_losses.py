"""What the base model alone makes of test points: their losses with the adapter switched off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from workers.rows import EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.row_stream import stream_forward
from workers.runtime.state import Runtime


def find_base_losses(runtime: Runtime, model: HotModel, encoded: Sequence[EncodedRow]) -> list[float] | None:
    """Losses (m,) without the adapter; None where what is left then is not the base model, or there is no adapter."""
    if not model.keeps_base:
        return None

    def compute(module: torch.nn.Module, batch: Any) -> torch.Tensor:
        with adapter_off(module):
            return model.collector.evaluate(batch)

    losses = torch.empty(len(encoded), dtype=torch.float32)
    for positions, found in stream_forward(runtime, model, encoded, compute):
        losses[positions] = found.float().cpu()
    return losses.tolist()


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Run a PEFT model as its base. PEFT sets anew what requires a gradient when it comes back: that is kept here."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)
