"""How large the batches and shards of a build are: decided from the work alone and kept with the plan.

Sums taken in other pieces differ in their last bits, and how fast a machine is differs from one minute to the next. So
nothing measured goes in: the same build on the same device, by whichever worker and however busy, gives the same bytes.
"""

import torch

from influence.contracts.index import Index, IndexSpec
from workers.batching.budget import TokenBudget

#: What devices like to be given at once, in weights times tokens: a fraction of a second, in which a query waits. A
#: processor is as fast per row with 512 tokens for 25 million weights as with 1024, and 5 to 9 % slower with 256.
_BATCH_WORK = {"cpu": 512 * 25e6, "cuda": 8192 * 1e9}
_FEWEST_TOKENS = {"cpu": 256, "cuda": 1024}
_MOST_TOKENS = {"cpu": 4096, "cuda": 1 << 16}
#: About how much they get done in a second: 2 cores, and one GPU of a data centre of some years ago.
_WORK_PER_SECOND = {"cpu": 5e10, "cuda": 2e12}
#: What a row costs whatever the model: read, tokenised, written.
_WORK_PER_ROW = 2e7
_MIN_SHARD_ROWS, _MAX_SHARD_ROWS = 32, 8192
#: Gradients of one shard held in memory at once, at most.
_MAX_SHARD_BYTES = 256 << 20


def choose_batch_tokens(weights: int, device: torch.device, wanted: int = 0) -> int:
    """Tokens of a micro-batch, padding included, for a model of so many weights; `wanted` is the operator's word."""
    if wanted:
        return wanted
    kind = _kind(device)
    fitting = int(_BATCH_WORK[kind] / max(weights, 1))
    power = 1 << max(fitting.bit_length() - 1, 0)
    return min(max(power, _FEWEST_TOKENS[kind]), _MOST_TOKENS[kind])


def choose_shard_rows(
    spec: IndexSpec,
    rows: int,
    *,
    parameters: int,
    weights: int,
    tokens_per_row: float,
    shard_seconds: float,
    device: torch.device,
) -> int:
    """Rows per shard: long enough to pay for its delivery, short enough to lose little and to fit in memory."""
    by_work = int(shard_seconds * _WORK_PER_SECOND[_kind(device)] / (weights * tokens_per_row + _WORK_PER_ROW))
    wanted = min(max(by_work, _MIN_SHARD_ROWS), _MAX_SHARD_ROWS)
    if spec.storage == "full":
        wanted = min(wanted, max(1, _MAX_SHARD_BYTES // (4 * max(parameters, 1))))
    return max(1, min(wanted, rows))


def planned_budget(index: Index) -> TokenBudget | None:
    """The batch size of an index's plan; None for one that was planned before sizes were kept. It is halved anew in
    each shard whose batches do not fit, so that no shard depends on another's."""
    return None if index.batch_tokens is None else TokenBudget(index.batch_tokens)


def _kind(device: torch.device) -> str:
    return "cuda" if device.type == "cuda" else "cpu"
