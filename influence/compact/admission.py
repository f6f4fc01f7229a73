"""What an index would cost, before anything is computed, and whether that fits."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from influence.compact.codes import bytes_per_row
from influence.compact.encoder import KEPT_VECTORS, OVERSAMPLING
from influence.contracts.index import CodeDtype, Storage, StorageDtype
from influence.errors import DoesNotFit

DEFAULT_SAMPLE_ROWS = 1024
#: Redis holds a value in the next size of its allocator and a key beside it.
_REDIS_OVERHEAD = 1.05
_VALUE_BYTES = 4 << 20
_KEY_BYTES = 256
_SHARD_SECONDS = 30.0
_MOMENT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Rates:
    """What a worker was seen to do: gradients per second, and seconds to fit one block's basis."""

    rows_per_second: float
    fit_seconds_per_block: float = 0.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes and seconds are estimates; `worker_bytes` is the hot index and, while building, the sample's gradients.

    A row more takes `row_bytes`; what all rows share, such as a basis, is in `redis_bytes`.
    """

    storage: Storage
    rows: int
    shards: int
    row_bytes: float
    redis_bytes: int
    worker_bytes: int
    seconds: float

    @property
    def bytes_per_row(self) -> float:
        """Everything that is kept, by row."""
        return self.redis_bytes / max(self.rows, 1)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bytes_per_row": round(self.bytes_per_row, 1)}


def estimate_full(
    rows: int, parameters: Sequence[int], dtype: StorageDtype, rates: Rates, *, factor_bytes: int = 0
) -> Estimate:
    """Every gradient: `parameters` are the blocks' sizes d_l. `factor_bytes` of Kronecker factors are kept of every
    shard until the build ends, and once of the index."""
    row_bytes = sum(parameters) * np.dtype(dtype).itemsize
    seconds = rows / rates.rows_per_second
    shards = _shards(seconds)
    in_redis = _in_redis(rows * row_bytes + (shards + 1) * factor_bytes)
    return Estimate("full", rows, shards, row_bytes, in_redis, rows * row_bytes + 2 * factor_bytes, seconds)


def estimate_compact(
    rows: int,
    parameters: Sequence[int],
    rank: int,
    rates: Rates,
    *,
    directions: int | None = None,
    dtype: CodeDtype = "int8",
    sample_rows: int = DEFAULT_SAMPLE_ROWS,
    has_roots: bool = False,
    checkpoints: int = 1,
) -> Estimate:
    """Codes of `rank` numbers per block on average, from `directions` basis vectors per block; in the optimiser's
    metric a number per parameter is kept beside them. `parameters` are those of all `checkpoints`, which share the
    numbers."""
    sample = min(sample_rows, rows)
    ranks = [min(directions or OVERSAMPLING * rank, size, sample) for size in parameters]
    width = min(rank * len(parameters) // checkpoints, sum(ranks), sample)
    row_bytes = bytes_per_row(width, len(parameters), dtype)
    basis = sum(size * rank for size, rank in zip(parameters, ranks, strict=True))
    rest = _fixed_bytes(ranks, width, sample) + (4 * sum(parameters) if has_roots else 0)
    gradients = 4 * sample * sum(parameters)
    seconds = rows / rates.rows_per_second + rates.fit_seconds_per_block * len(parameters)
    return Estimate(
        "compact",
        rows,
        _shards(rows / rates.rows_per_second),
        row_bytes,
        _in_redis(rows * row_bytes + np.dtype(KEPT_VECTORS).itemsize * basis + rest),
        max(rows * row_bytes, gradients) + 4 * basis + rest,
        seconds,
    )


def check_fits(estimate: Estimate, *, redis_budget_bytes: int, worker_budget_bytes: int, part_bytes: int = 0) -> None:
    """Refuse an index that cannot fit, with the figures. Raises DoesNotFit.

    Where `part_bytes` is given, workers share codes out in parts of that size: one need not hold them all.
    """
    codes = int(estimate.rows * estimate.row_bytes)
    shared_out = max(0, codes - part_bytes) if part_bytes and estimate.storage == "compact" else 0
    for what, needed, budget in (
        ("Redis", estimate.redis_bytes, redis_budget_bytes),
        ("worker memory", estimate.worker_bytes - shared_out, worker_budget_bytes),
    ):
        if needed > budget:
            raise DoesNotFit(
                f"The index needs about {_readable(needed)} of {what}, the budget is {_readable(budget)}.",
                hint=_hint(estimate),
                extra={"estimate": estimate.to_json(), "needed_bytes": needed, "budget_bytes": budget},
            )


def choose_storage(full: Estimate, compact: Estimate, *, budget_bytes: int) -> Estimate:
    """`auto`: every gradient while that fits the budget, or takes no more than codes with their basis; else codes."""
    return full if full.redis_bytes <= max(budget_bytes, compact.redis_bytes) else compact


def _fixed_bytes(ranks: Sequence[int], width: int, sample: int) -> int:
    """Layout, the sample's codes and the moments."""
    total = sum(ranks)
    floats = 2 * total * width + sample * (total + len(ranks))
    return 4 * floats + _MOMENT_BYTES * 2 * sum(rank**2 for rank in ranks)


def _shards(seconds: float) -> int:
    return max(1, math.ceil(seconds / _SHARD_SECONDS))


def _in_redis(payload: int) -> int:
    return int(payload * _REDIS_OVERHEAD) + _KEY_BYTES * math.ceil(payload / _VALUE_BYTES)


def _hint(estimate: Estimate) -> str:
    if estimate.storage == "full":
        return "Use storage 'compact' (without kronecker), or raise the budget."
    return (
        "Use a smaller rank or fewer rows, raise the budget, or, where whole embeddings or heads were trained beside "
        "LoRA, leave them out with parts 'lora'."
    )


def _readable(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"
