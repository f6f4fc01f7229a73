"""A stream of gradients, or of anything made batch by batch, over many rows within the device's memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from influence.errors import DeviceLost, OutOfMemory
from workers.batching.budget import TokenBudget, most_rows
from workers.batching.plan import MAX_ROWS, end_of_batch, order_by_length
from workers.gradients.collector import Collector, RowGradients
from workers.gradients.passes import is_out_of_memory
from workers.rows import Batch, EncodedRow

Collate = Callable[[Sequence[EncodedRow]], Batch]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Where batches are computed, how large they may be, and the lock that is held for one of them at a time."""

    device: torch.device
    budget: TokenBudget
    lock: AbstractContextManager[object] = field(default_factory=nullcontext)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A batch on the device: `positions` of its rows and the length of the longest."""

    positions: list[int]
    longest: int
    batch: Batch


def stream_gradients(
    collector: Collector,
    encoded: Sequence[EncodedRow],
    collate: Collate,
    options: BatchOptions,
    *,
    with_factors: bool = False,
    with_outputs: bool = False,
) -> Iterator[tuple[list[int], RowGradients]]:
    """Yield (positions in `encoded`, their gradients) batch by batch, longest rows first.

    The lock is held for one micro-batch at a time. A batch that does not fit is halved and the budget with it. Who
    takes a batch should let it go (`del`) before asking for the next, or two batches' gradients are held at once.
    Raises OutOfMemory when a single row does not fit, DeviceLost when the device stops answering.
    """

    def collect(batch: Batch, tokens: int) -> RowGradients:
        started = time.perf_counter()
        found = collector.collect(batch, with_factors=with_factors, with_outputs=with_outputs)
        if options.budget.growing:
            found.losses.sum().item()  # waits for the device
            options.budget.observe(tokens, time.perf_counter() - started)
        return found

    most = min(MAX_ROWS, most_rows(sum(block.parameters for block in collector.blocks), options.device))
    yield from stream_batches(collect, encoded, collate, options, max_rows=most)


def stream_batches(
    compute: Callable[[Batch, int], Found],
    encoded: Sequence[EncodedRow],
    collate: Collate,
    options: BatchOptions,
    *,
    max_rows: int = MAX_ROWS,
) -> Iterator[tuple[list[int], Found]]:
    """Yield (positions in `encoded`, what `compute` makes of a batch of so many tokens), longest rows first.

    Lock, memory and errors are as in `stream_gradients`.
    """
    lengths = [row.length for row in encoded]
    order, start = order_by_length(lengths), 0
    prepared: _Prepared | None = None

    def prepare(start: int) -> _Prepared | None:
        if start >= len(order):
            return None
        stop = end_of_batch(lengths, order, start, token_budget=options.budget.tokens, max_rows=max_rows)
        positions = order[start:stop]
        batch = collate([encoded[position] for position in positions])
        return _Prepared(positions, max(lengths[positions[0]], 1), _move(batch, options.device))

    prepared = prepare(start)
    while prepared is not None:
        found = _compute(compute, prepared, options)
        if found is None:
            prepared = prepare(start)
            continue
        positions, start = prepared.positions, start + len(prepared.positions)
        prepared = prepare(start)  # while the device is still at work
        yield positions, found
        del found


def _compute(
    compute: Callable[[Batch, int], Found],
    work: _Prepared,
    options: BatchOptions,
) -> Found | None:
    """What is made of a batch, or None when it did not fit and the budget is smaller now."""
    try:
        with options.lock:
            return compute(work.batch, len(work.positions) * work.longest)
    except (RuntimeError, MemoryError) as error:
        _explain(error, work, options.device)
    # Only here, with the exception and all that it held gone, can memory be given back.
    if options.device.type == "cuda":
        torch.cuda.empty_cache()
    options.budget.halve(rows=len(work.positions), longest=work.longest)
    return None


def _explain(error: RuntimeError | MemoryError, work: _Prepared, device: torch.device) -> None:
    """Raise what a failure means; return when the batch was merely too large."""
    if is_out_of_memory(error):
        if len(work.positions) > 1:
            return
        raise OutOfMemory(
            f"A row of {work.longest} tokens does not fit the memory of {device}.", extra={"tokens": work.longest}
        ) from error
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
        raise DeviceLost(f"The device {device} stopped answering: {str(error).splitlines()[0]}") from error
    raise error


def _move(batch: Batch, device: torch.device) -> Batch:
    if device.type != "cuda":
        return batch.to(device)
    pinned = {name: values.pin_memory() for name, values in batch.inputs.items()}
    return replace(batch, inputs=pinned, labels=batch.labels.pin_memory()).to(device)
