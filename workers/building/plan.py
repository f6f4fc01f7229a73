"""First step of a build: load the model, check every row, cut the data set into shards."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from influence.compact.admission import Estimate, Rates, check_fits, estimate_compact, estimate_full
from influence.contracts.dataset import Dataset
from influence.contracts.index import DEFAULT_RANK, Block, Index, IndexSpec
from influence.store.work import advance, send, send_all
from workers.building.fit_basis import count_sampled, fit_index
from workers.building.growth import Matched, match_old, store_growth
from workers.building.outlook import GRADIENTS, LOADING, TOKENISING, Outlook
from workers.building.precision import measure_precision
from workers.building.sizes import choose_batch_tokens, choose_shard_rows
from workers.rows import EncodedRow
from workers.runtime.interrupts import check_wanted, require_wanted
from workers.runtime.models import HotModel
from workers.runtime.open import open_model, open_rows
from workers.runtime.progress import JobProgress
from workers.runtime.state import Runtime

#: Rows tokenised at a time while checking.
_CHECK_ROWS = 512
#: Rows of the batch that measures how fast this machine is, and of one that does where that took no time: small batches
#: take several times as long a row as those of a build.
_PROBE_ROWS, _MORE_PROBE_ROWS = 8, 64
_QUICK_SECONDS = 0.5


def plan_index(runtime: Runtime, index: Index) -> None:
    """Plan the build and submit its shards; a plan that exists is only submitted again.

    Raises RowsRefused or CheckpointRefused when the index would give confident nonsense, DoesNotFit when it
    would be larger than the budget.
    """
    if not index.shards:
        index = _make_plan(runtime, index)
    committed = runtime.store.index_data.commits(index.build)
    for shard in committed:
        runtime.store.jobs.set_done(index.job_id, shard_size(index, shard), shard=shard)
    runtime.store.jobs.set_phase(index.job_id, GRADIENTS, total=index.rows)
    missing = [{"shard": shard} for shard in range(index.shards) if shard not in committed]
    send_all(runtime.store, index, "compute_shard", missing)
    if len(committed) == index.shards:
        send(runtime.store, index, "finish_index")


def shard_size(index: Index, shard: int) -> int:
    """Rows of the data set that a shard covers."""
    start = shard * index.rows_per_shard
    return min(index.rows_per_shard, index.rows - start)


def _make_plan(runtime: Runtime, index: Index) -> Index:
    started = time.monotonic()
    runtime.store.index_data.delete_others(index.id, index.build)
    progress = JobProgress(runtime, index.job_id)
    outlook = _make_outlook(runtime, index)
    model = _load(runtime, index)
    dataset = runtime.store.datasets.require(index.spec.dataset_id)
    checked = check_rows(runtime, model, dataset, index, progress)
    weights = sum(weight.numel() for weight in model.model.parameters())
    batch_tokens = choose_batch_tokens(weights, runtime.device, runtime.settings.token_budget)
    seconds, factor_bytes = _probe(runtime, model, checked, batch_tokens, with_factors=index.spec.kronecker)
    rates = Rates(rows_per_second=1.0 / seconds)
    blocks = model.collector.blocks
    sampled = count_sampled(index.spec, dataset.rows, sum(block.parameters for block in blocks))
    outlook.learn_probe(seconds, [block.parameters for block in blocks], rows=dataset.rows, sampled=sampled)
    matched = None if index.spec.grow_from is None else match_old(runtime, index, blocks)
    if matched is None:
        estimate = estimate_build(index.spec, dataset.rows, blocks, rates, factor_bytes)
    else:
        estimate = matched.estimate(dataset.rows, blocks, rates)
        outlook.learn_growth(seconds, added=len(matched.rows.added), removed=len(matched.rows.removed))
    _check_room(runtime, estimate)
    parameters = sum(block.parameters for block in blocks)
    rows_per_shard = choose_shard_rows(
        index.spec,
        dataset.rows,
        parameters=parameters,
        weights=weights * (len(index.spec.joined) or 1),
        tokens_per_row=checked.tokens / dataset.rows,
        shard_seconds=runtime.settings.shard_seconds,
        device=runtime.device,
    )
    plan: dict[str, Any] = {
        "state": "running",
        "rows": dataset.rows,
        "blocks": blocks,
        "parameters": parameters,
        "rows_per_shard": rows_per_shard,
        "batch_tokens": batch_tokens,
        "shards": math.ceil(dataset.rows / rows_per_shard),
        "estimate": estimate.to_json(),
        "truncated_rows": checked.truncated,
    }
    # Of a large model, or on a busy machine, it takes minutes, in which a small build would wait.
    check = partial(check_wanted, runtime, index.job_id)
    with runtime.aside.let_others_work(check) if outlook.takes_long_before_shards else nullcontext():
        plan |= _prepare_shards(runtime, index.model_copy(update=plan), model, matched, progress, outlook)
    plan["precision_fidelity"] = measure_precision(runtime, index.model_copy(update=plan), model)
    require_wanted(runtime, index.job_id)
    plan["timings"] = {
        **_rate_of(matched),
        "plan_seconds": round(time.monotonic() - started, 3),
        "sample_seconds": round(outlook.sample_seconds, 3),
        "tokens_per_row": round(checked.tokens / checked.rows, 3),
    }
    return advance(runtime.store, index, lambda current: current.model_copy(update=plan))


def _check_room(runtime: Runtime, estimate: Estimate) -> None:
    settings = runtime.settings
    check_fits(
        estimate,
        redis_budget_bytes=settings.storage_budget_bytes,
        worker_budget_bytes=settings.memory_budget_bytes,
        part_bytes=settings.partition_bytes,
    )


def _load(runtime: Runtime, index: Index) -> HotModel:
    runtime.store.jobs.set_phase(index.job_id, LOADING, total=1, unit="models")
    return open_model(runtime, index)


def _make_outlook(runtime: Runtime, index: Index) -> Outlook:
    """What to expect, by the newest index of the same checkpoint that is built, if there is one."""
    outlook, wanted = Outlook(runtime, index), index.spec.checkpoint_id
    for earlier in runtime.store.indexes.each():
        if earlier.spec.checkpoint_id == wanted and earlier.ready_at is not None:
            sampled = count_sampled(index.spec, index.rows, earlier.parameters or 1)
            outlook.learn_earlier(earlier, sampled=sampled, reused=_count_reused(runtime, index))
            break
    return outlook


def _count_reused(runtime: Runtime, index: Index) -> int:
    """Rows that a grown index may have of its old one, 0 for one that is made anew."""
    old = None if index.spec.grow_from is None else runtime.store.indexes.find(index.spec.grow_from)
    return 0 if old is None else old.rows


def _prepare_shards(
    runtime: Runtime,
    index: Index,
    model: HotModel,
    matched: Matched | None,
    progress: JobProgress,
    outlook: Outlook,
) -> dict[str, Any]:
    """What shards of codes need, computed and stored; answers fields of the record."""
    if matched is not None:
        return store_growth(runtime, index, model, matched, progress)
    if index.spec.storage == "full":
        return {}
    fidelity, size = fit_index(runtime, index, model, progress, outlook)
    return {"bytes": size, "fidelity": None if fidelity is None else fidelity.to_json()}


def _rate_of(matched: Matched | None) -> dict[str, float]:
    """The rate of the index that this one grows from."""
    rate = None if matched is None else matched.old.rows_per_second
    return {} if rate is None else {"rows_per_second": rate}


@dataclass
class CheckedRows:
    """A sample of the rows, how many were cut, and the number and tokens of all."""

    sample: list[EncodedRow] = field(default_factory=list)
    truncated: int = 0
    tokens: int = 0
    rows: int = 0


def check_rows(runtime: Runtime, model: HotModel, dataset: Dataset, index: Index, progress: JobProgress) -> CheckedRows:
    """Tokenise every row once, so that a bad row is named before any work."""
    rows = open_rows(runtime, dataset.id, model)
    runtime.store.jobs.set_phase(index.job_id, TOKENISING, total=dataset.rows)
    checked = CheckedRows()
    for start in range(0, dataset.rows, _CHECK_ROWS):
        encoded = model.task.tokenise(rows.read(start, min(start + _CHECK_ROWS, dataset.rows)))
        checked.truncated += sum(row.truncated for row in encoded)
        checked.tokens += sum(row.length for row in encoded)
        checked.rows += len(encoded)
        checked.sample = checked.sample or _spread(encoded, _MORE_PROBE_ROWS)
        progress.report(start + len(encoded))
    return checked


def _spread(rows: Sequence[EncodedRow], count: int) -> list[EncodedRow]:
    """Rows evenly taken from a list."""
    picks = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [rows[position] for position in sorted(set(picks.tolist()))]


def _probe(
    runtime: Runtime, model: HotModel, checked: CheckedRows, batch_tokens: int, *, with_factors: bool
) -> tuple[float, int]:
    """Seconds per row of mean length on this machine, and bytes of factors: from a small batch, and where that took no
    time from one as large as those of the build. Each is run twice, for the first warms up."""
    few = _spread(checked.sample, _PROBE_ROWS)
    _time_batch(runtime, model, few, with_factors=with_factors)
    seconds, factor_bytes = _time_batch(runtime, model, few, with_factors=with_factors)
    rows, longest = len(few), _longest(few)
    fitting = min(_MORE_PROBE_ROWS, batch_tokens // _longest(checked.sample))
    if seconds < _QUICK_SECONDS and fitting > rows:
        many = _spread(checked.sample, fitting)
        seconds = min(_time_batch(runtime, model, many, with_factors=with_factors)[0] for _ in range(2))
        rows, longest = len(many), _longest(many)
    # A batch is as long as its longest row; those of the build hold rows of like length.
    per_token = seconds / (rows * longest)
    return per_token * checked.tokens / checked.rows, factor_bytes


def _longest(rows: Sequence[EncodedRow]) -> int:
    return max(1, *(row.length for row in rows))


def _time_batch(
    runtime: Runtime, model: HotModel, rows: Sequence[EncodedRow], *, with_factors: bool
) -> tuple[float, int]:
    batch = model.task.collate(rows).to(runtime.device)
    with runtime.device_lock:
        started = time.monotonic()
        found = model.collector.collect(batch, with_factors=with_factors)
        found.losses.sum().item()  # waits for the device
        seconds = time.monotonic() - started
    # Kept in float64.
    return seconds, 8 * sum(left.numel() + right.numel() for left, right in found.factors.values())


def estimate_build(spec: IndexSpec, rows: int, blocks: Sequence[Block], rates: Rates, factor_bytes: int) -> Estimate:
    """Bytes and seconds that the build should take, with one worker like this one."""
    sizes = [block.parameters for block in blocks]
    if spec.storage == "full":
        return estimate_full(rows, sizes, spec.storage_dtype, rates, factor_bytes=factor_bytes)
    return estimate_compact(
        rows,
        sizes,
        spec.rank or DEFAULT_RANK,
        rates,
        dtype=spec.code_dtype,
        has_roots=spec.metric == "optimizer",
        checkpoints=len(spec.joined) or 1,
    )
