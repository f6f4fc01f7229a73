"""Last step of a build: damping and sizes from the commits, then the index is ready."""

import operator
import time
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
import structlog

from influence.compact.growth import judge_drift
from influence.compact.moments import Moments
from influence.compact.packing import pack_moments, unpack_moments
from influence.contracts.common import now
from influence.contracts.index import GradientLengths, Growth, Index, ShardCommit
from influence.damping import block_damping
from influence.errors import RowsUnfit
from influence.evaluating.gradient_lengths import FEW_COUNT, share_that_counts
from influence.methods.algebra.kronecker_factors import KroneckerSums
from influence.methods.datainf import DataInf
from influence.store.data.chunks import DamagedChunk
from influence.store.work import finish
from workers.building.kronecker import merge_kronecker
from workers.building.outlook import FINISHING
from workers.runtime.basis_sample import MOMENTS, OLD_MOMENTS, shard_moments
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: Of fewer rows the time is that of everything else.
_FEWEST_TIMED = 64


def finish_index(runtime: Runtime, index: Index) -> None:
    """Declare an index ready. Safe to run twice.

    Of one that was ready before, and whose shards were lost, all that was measured then still holds.
    """
    commits = runtime.store.index_data.commits(index.build)
    if len(commits) < index.shards:
        return
    runtime.store.jobs.set_phase(index.job_id, FINISHING, total=index.rows, in_shards=False)
    if index.ready_at is not None:
        _drop_parts(runtime, index)
        runtime.store.index_data.published.remove(index.build)  # or nothing would have been lost
        _publish(runtime, index)
        runtime.store.jobs.set_done(index.job_id, index.rows)
        finish(runtime.store, index, lambda current: current)
        return
    size, moments = _merge_moments(runtime, index) if index.spec.storage == "compact" else (0, None)
    kronecker = merge_kronecker(runtime, index) if index.spec.kronecker else KroneckerSums()
    _publish(runtime, index)
    runtime.store.jobs.set_done(index.job_id, index.rows)
    finish(
        runtime.store,
        index,
        lambda current: _ready(current, commits, size + kronecker.nbytes, moments, kronecker.without),
    )


def _publish(runtime: Runtime, index: Index) -> None:
    """Write what a compact index keeps to the files: Redis may lose it from then on.

    Before the index is ready, so that an end of the process in between leaves a build that is finished again. What has
    no room on this disk, or was lost already, leaves an index without files.
    """
    if index.spec.storage == "full":
        return
    started = time.monotonic()
    try:
        written = runtime.store.index_data.published.publish(index.build, index.shards)
    except (DamagedChunk, OSError) as error:
        log.warning("an index is kept in Redis alone", index_id=index.id, cause=str(error))
        return
    if written is not None:
        log.info("index written to files", bytes=written, seconds=round(time.monotonic() - started, 3))


def _drop_parts(runtime: Runtime, index: Index) -> None:
    """Remove what shards leave for a sum that was made before."""
    for shard in range(index.shards):
        runtime.store.index_data.delete_parts(index.build, shard_moments(shard))


def _merge_moments(runtime: Runtime, index: Index) -> tuple[int, Moments]:
    """Add the parts' moments up, keep the sum, drop the parts; answers the bytes that the index keeps of it."""
    data = runtime.store.index_data
    names = [shard_moments(shard) for shard in range(index.shards)]
    if index.growth is not None:
        names.append(OLD_MOMENTS)
    parts = [part for name in names if (part := data.read_unmerged(index.build, name, MOMENTS))]
    if len(parts) < len(names):
        # An earlier run got this far.
        return 0, unpack_moments(data.read_parts(index.build, MOMENTS))
    total = reduce(operator.add, map(unpack_moments, parts))
    size = data.write_parts(index.build, MOMENTS, pack_moments(total))
    for name in names:
        data.delete_parts(index.build, name)
    return size, total


def _ready(
    index: Index,
    commits: Mapping[int, ShardCommit],
    whole_bytes: int,
    moments: Moments | None,
    without_factors: frozenset[int],
) -> Index:
    rows = sum(commit.rows for commit in commits.values())
    if rows == 0:
        raise RowsUnfit("Every row was left out, so there is nothing to score against.")
    shard_bytes = sum(commit.bytes for commit in commits.values())
    size = shard_bytes + whole_bytes + (index.bytes or 0)
    skipped = tuple(row_id for shard in sorted(commits) for row_id in commits[shard].skipped)
    seconds = sum(commit.seconds for commit in commits.values())
    growth = None if index.growth is None else finish_growth(index.growth, list(commits.values()), rows)
    lengths = _gather_lengths(list(commits.values()), rows)
    return index.model_copy(
        update={
            "rows_indexed": rows,
            "skipped_rows": skipped,
            "bytes": size,
            "bytes_per_row": round(size / rows, 1),
            "row_bytes": round(shard_bytes / rows, 1),
            "damping": _damping(index, commits, moments, rows),
            "gradient_lengths": lengths,
            "ready_at": now(),
            "growth": growth,
            "warnings": (*_warnings(index, skipped, growth, without_factors), *_warn_of_lengths(lengths)),
            "timings": _timings(index, seconds, rows if growth is None else growth.rows_computed),
        }
    )


def _timings(index: Index, seconds: float, computed: int) -> dict[str, float]:
    """`rows_per_second` is of rows whose gradients were computed, those of the plan's sample and its time included; of
    a grown index with few of them it is the old index's."""
    known = index.timings or {}
    rate = computed / max(seconds + known.get("sample_seconds", 0.0), 1e-9)
    is_measured = computed >= _FEWEST_TIMED or "rows_per_second" not in known
    return {
        **known,
        "gradient_seconds": round(seconds, 3),
        "rows_per_second": round(rate if is_measured else known["rows_per_second"], 2),
    }


def finish_growth(growth: Growth, commits: Sequence[ShardCommit], rows: int) -> Growth:
    """What is known of a grown index once its `rows` rows are all there."""
    computed = sum(commit.computed or 0 for commit in commits)
    energy = sum(commit.energy or 0.0 for commit in commits)
    missed = sum(commit.missed_energy or 0.0 for commit in commits)
    drift = judge_drift(
        missed / energy if energy > 0 else growth.baseline,
        baseline=growth.baseline,
        basis_age=(growth.rows_reused_late + computed) / rows,
    )
    return growth.model_copy(
        update={
            "rows_computed": computed,
            "residual": drift.residual,
            "basis_age": drift.basis_age,
            "warnings": drift.warnings,
        }
    )


def _damping(
    index: Index, commits: Mapping[int, ShardCommit], moments: Moments | None, rows: int
) -> dict[str, float] | None:
    if index.spec.metric == "optimizer":
        return None  # sums of squares there are of other coordinates
    if moments is not None:
        sums = moments.energy
    else:
        sums = np.sum([commits[shard].squared_norm_sums for shard in sorted(commits)], axis=0)
    return {
        block.name: block_damping(float(total) / rows, block.parameters, DataInf().damping_scale(None))
        for block, total in zip(index.blocks, sums, strict=True)
    }


def _gather_lengths(commits: Sequence[ShardCommit], rows: int) -> GradientLengths | None:
    """None where a shard was committed by an earlier version, which kept no sums."""
    sums = [commit.length_sums for commit in commits if commit.length_sums is not None]
    if len(sums) < len(commits):
        return None
    lengths, squares = (sum(part) for part in zip(*sums, strict=True))
    return GradientLengths(mean=lengths / rows, count=share_that_counts(rows, lengths, squares))


def _warn_of_lengths(lengths: GradientLengths | None) -> tuple[str, ...]:
    if lengths is None or lengths.count >= FEW_COUNT:
        return ()
    return (
        f"Gradients have died away on most rows: they spread as if {lengths.count:.0%} of the rows had any. Scores of "
        "an earlier checkpoint agreed better with retraining where this was measured: index one if you have it.",
    )


def _warnings(
    index: Index, skipped: tuple[str, ...], growth: Growth | None, without_factors: frozenset[int]
) -> tuple[str, ...]:
    found = []
    if index.spec.gradients.parts == "lora":
        found.append("Gradients are of LoRA factors alone: whole tensors that were trained beside them are left out.")
    if index.truncated_rows:
        found.append(f"{index.truncated_rows} rows were cut to {index.spec.gradients.max_length} tokens.")
    if skipped:
        found.append(f"{len(skipped)} rows with gradients that are not finite were left out.")
    if slow := [block.name for block in index.blocks if block.path == "slow"]:
        found.append(f"{len(slow)} blocks took the slower exact path, for example {slow[0]}.")
    if without_factors:
        first = index.blocks[min(without_factors)].name
        found.append(
            f"{len(without_factors)} blocks have no Kronecker factors, for example {first}: method 'ekfac' takes their"
            " diagonal."
        )
    of_growth = () if growth is None else growth.warnings
    measured = [(part or {}).get("warnings", ()) for part in (index.fidelity, index.precision_fidelity)]
    return (*index.warnings, *found, *measured[0], *measured[1], *of_growth)
