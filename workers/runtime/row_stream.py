"""Gradients, and whatever needs only a forward pass, under this process's device lock and token budget."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from workers.batching.budget import TokenBudget
from workers.batching.stream import BatchOptions, stream_batches, stream_gradients
from workers.gradients.collector import RowGradients
from workers.rows import Batch, EncodedRow
from workers.runtime.models import HotModel
from workers.runtime.state import Runtime


def stream_rows(
    runtime: Runtime,
    model: HotModel,
    encoded: Sequence[EncodedRow],
    report: Callable[[int], None] | None = None,
    *,
    with_factors: bool = False,
    with_outputs: bool = False,
    budget: TokenBudget | None = None,
) -> Iterator[tuple[list[int], RowGradients]]:
    """Yield (positions in `encoded`, their gradients) batch by batch; `report` hears of rows done.

    Batches are of the size of `budget`; without one, of what this process has found to be fast.
    """
    done = 0
    for positions, gradients in stream_gradients(
        model.collector,
        encoded,
        model.task.collate,
        batch_options(runtime, budget),
        with_factors=with_factors,
        with_outputs=with_outputs,
    ):
        yield positions, gradients
        del gradients  # before the next batch is computed
        done += len(positions)
        if report is not None:
            report(done)


def stream_forward(
    runtime: Runtime,
    model: HotModel,
    encoded: Sequence[EncodedRow],
    compute: Callable[[torch.nn.Module, Batch], Tensor],
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (positions in `encoded`, `compute(model, batch)`) batch by batch; no gradient is kept."""

    def run(batch: Batch, _tokens: int) -> Tensor:
        with torch.no_grad():
            return compute(model.model, batch)

    yield from stream_batches(run, encoded, model.task.collate, batch_options(runtime))


def batch_options(runtime: Runtime, budget: TokenBudget | None = None) -> BatchOptions:
    """This process's device, its token budget or the one given, and its device lock."""
    return BatchOptions(runtime.device, budget or runtime.token_budget, runtime.device_lock)
