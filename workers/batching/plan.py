"""Which rows share a batch: rows of like length, so that little is spent on padding."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], *, token_budget: int, max_rows: int = 1024) -> list[list[int]]:
    """Positions grouped so that rows x longest row stays within the budget; longest first, so that memory peaks early.

    Deterministic. A row longer than the budget has a batch to itself.
    """
    order = sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    batches: list[list[int]] = []
    for position in order:
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and len(batches[-1]) < max_rows and (len(batches[-1]) + 1) * longest <= token_budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches
