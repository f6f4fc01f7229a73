"""Which rows share a batch: rows of like length, so that little is spent on padding."""

from collections.abc import Sequence

#: Rows per batch at most, however short they are.
MAX_ROWS = 1024


def order_by_length(lengths: Sequence[int]) -> list[int]:
    """Positions, longest row first, so that memory peaks early; equal lengths in their own order."""
    return sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))


def end_of_batch(lengths: Sequence[int], order: Sequence[int], start: int, *, token_budget: int, max_rows: int) -> int:
    """Where the batch ends that begins at `order[start]`: rows x longest row stays within the budget.

    At least one row is taken: a row longer than the budget has a batch to itself.
    """
    longest = max(lengths[order[start]], 1)
    rows = max(1, min(token_budget // longest, max_rows))
    return min(start + rows, len(order))


def plan_batches(lengths: Sequence[int], *, token_budget: int, max_rows: int = MAX_ROWS) -> list[list[int]]:
    """Positions grouped by length under a budget of tokens, padding included. Deterministic; every row is in one."""
    order = order_by_length(lengths)
    batches, start = [], 0
    while start < len(order):
        stop = end_of_batch(lengths, order, start, token_budget=token_budget, max_rows=max_rows)
        batches.append(order[start:stop])
        start = stop
    return batches
