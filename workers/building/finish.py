"""Last step of a build: damping and sizes from the commits, then the index is ready."""

import operator
from collections.abc import Mapping
from functools import reduce

import numpy as np

from influence.compact.packing import pack_moments, unpack_moments
from influence.contracts.common import now
from influence.contracts.index import Index, ShardCommit
from influence.damping import block_damping
from influence.errors import RowsUnfit
from influence.methods.datainf import DataInf
from workers.building.sample import MOMENTS, shard_moments
from workers.runtime import Runtime


def finish_index(runtime: Runtime, index: Index) -> None:
    """Declare an index ready. Safe to run twice."""
    commits = runtime.store.index_data.commits(index.id)
    if len(commits) < index.shards or index.state == "succeeded":
        return
    runtime.store.jobs.set_phase(index.job_id, "finishing", total=index.rows)
    runtime.store.jobs.set_done(index.job_id, index.rows)
    size = _merge_moments(runtime, index) if index.spec.storage == "compact" else 0
    runtime.store.indexes.update(index.id, lambda current: _ready(current, commits, size))
    runtime.store.jobs.succeed(index.job_id)


def _merge_moments(runtime: Runtime, index: Index) -> int:
    """Add the shards' moments up, keep the sum, drop the parts; answers the bytes that the index keeps of it."""
    data = runtime.store.index_data
    parts = [data.read_parts(index.id, shard_moments(shard)) for shard in range(index.shards)]
    found = [unpack_moments(part) for part in parts if part]
    if len(found) < index.shards:
        return 0  # an earlier run got this far
    total = reduce(operator.add, found)
    size = data.write_parts(index.id, MOMENTS, pack_moments(total))
    for shard in range(index.shards):
        data.delete_parts(index.id, shard_moments(shard))
    return size


def _ready(index: Index, commits: Mapping[int, ShardCommit], whole_bytes: int) -> Index:
    rows = sum(commit.rows for commit in commits.values())
    if rows == 0:
        raise RowsUnfit("Every row was left out, so there is nothing to score against.")
    shard_bytes = sum(commit.bytes for commit in commits.values())
    size = shard_bytes + whole_bytes + (index.bytes or 0)
    skipped = tuple(row_id for shard in sorted(commits) for row_id in commits[shard].skipped)
    seconds = sum(commit.seconds for commit in commits.values())
    return index.model_copy(
        update={
            "state": "succeeded", "rows_indexed": rows, "skipped_rows": skipped, "bytes": size,
            "bytes_per_row": round(shard_bytes / rows, 1), "damping": _damping(index, commits, rows), "ready_at": now(),
            "warnings": _warnings(index, skipped),
            "timings": {
                **(index.timings or {}), "gradient_seconds": round(seconds, 3),
                "rows_per_second": round(rows / max(seconds, 1e-9), 1),
            },
        }
    )  # fmt: skip


def _damping(index: Index, commits: Mapping[int, ShardCommit], rows: int) -> dict[str, float]:
    sums = np.sum([commits[shard].squared_norm_sums for shard in sorted(commits)], axis=0)
    return {
        block.name: block_damping(float(total) / rows, block.parameters, DataInf().damping_scale(None))
        for block, total in zip(index.blocks, sums, strict=True)
    }


def _warnings(index: Index, skipped: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    if index.truncated_rows:
        found.append(f"{index.truncated_rows} rows were cut to {index.spec.gradients.max_length} tokens.")
    if skipped:
        found.append(f"{len(skipped)} rows with gradients that are not finite were left out.")
    if slow := [block.name for block in index.blocks if block.path == "slow"]:
        found.append(f"{len(slow)} blocks took the slower exact path, for example {slow[0]}.")
    return (*index.warnings, *found, *(index.fidelity or {}).get("warnings", ()))
