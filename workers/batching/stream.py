"""A stream of gradients over many rows, within the device's memory."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch

from influence.errors import OutOfMemory
from workers.batching.plan import plan_batches
from workers.gradients.collector import GradientCollector, RowGradients
from workers.rows import Batch, EncodedRow

#: Tokens a micro-batch: on a CPU small ones keep activations in cache and queries waiting briefly.
CPU_TOKEN_BUDGET = 2048
CUDA_TOKEN_BUDGET = 32_768

Collate = Callable[[Sequence[EncodedRow]], Batch]


class TokenBudget:
    """How many tokens a batch may have; halved whenever the device runs out of memory, and remembered."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    @classmethod
    def for_device(cls, device: torch.device) -> "TokenBudget":
        """A first guess for a device."""
        return cls(CUDA_TOKEN_BUDGET if device.type == "cuda" else CPU_TOKEN_BUDGET)

    def halve(self, longest: int) -> None:
        """Lower the budget after a batch of rows of `longest` tokens failed; it stays a whole number of rows."""
        self.tokens = max(self.tokens // 2, longest)


def stream_gradients(
    collector: GradientCollector,
    encoded: Sequence[EncodedRow],
    collate: Collate,
    *,
    device: torch.device,
    budget: TokenBudget,
    lock: AbstractContextManager[object] | None = None,
) -> Iterator[tuple[list[int], RowGradients]]:
    """Yield (positions in `encoded`, their gradients) batch by batch, longest rows first.

    The lock is held for one micro-batch at a time. Raises OutOfMemory when a single row does not fit.
    """
    lengths = [row.length for row in encoded]
    waiting = plan_batches(lengths, token_budget=budget.tokens)[::-1]
    while waiting:
        positions = waiting.pop()
        batch = collate([encoded[position] for position in positions])
        try:
            with lock or contextlib.nullcontext():
                found = collector.collect(batch.to(device))
        except torch.OutOfMemoryError:
            waiting += _split(positions, lengths, budget, device)
            continue
        yield positions, found


def _split(positions: list[int], lengths: Sequence[int], budget: TokenBudget, device: torch.device) -> list[list[int]]:
    if len(positions) == 1:
        raise OutOfMemory(f"A row of {lengths[positions[0]]} tokens does not fit the memory of {device}.")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    budget.halve(max(lengths[position] for position in positions))
    middle = len(positions) // 2
    return [positions[middle:], positions[:middle]]
