"""First step of a grown index: which rows stay, the old index's basis, and its moments without the rows that left.

What is written here stands on its own: the old index may be deleted from then on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.admission import Estimate, Rates, estimate_compact
from influence.compact.encoder import Encoder
from influence.compact.growth import RowPlan, match_rows, residual_share
from influence.compact.moments import Moments
from influence.compact.packing import pack_encoder, pack_moments, unpack_moments
from influence.contracts.index import Block, Growth, Index
from influence.errors import Conflict, InvalidRequest, NonFiniteGradients, NotFound, ShardMissing
from influence.store.data.chunks import DamagedChunk
from influence.store.data.indexes import IndexData
from workers.building.growth_rows import read_kept
from workers.building.outlook import SUBTRACTING
from workers.building.sizes import planned_budget
from workers.building.wait_for_memory import retry_while_full
from workers.runtime.basis_sample import ENCODER, LATE, MOMENTS, OLD_MOMENTS, SAMPLE, SOURCE, Sample
from workers.runtime.models import HotModel
from workers.runtime.open import open_indexed_rows, open_rows, require_ready
from workers.runtime.progress import JobProgress
from workers.runtime.row_stream import stream_rows
from workers.runtime.state import Runtime

#: Rows that left are tokenised so many at a time.
_REMOVED_ROWS = 4096


@dataclass(frozen=True)
class Matched:
    """An old index and how the new rows relate to it. `rows` speaks of rows of the two data sets; `late` (old rows,)
    marks rows that came after the basis was fitted.
    """

    old: Index
    encoder: Encoder
    sample: Sample
    moments: Moments
    rows: RowPlan
    late: NDArray[np.bool_]

    def estimate(self, rows: int, blocks: Sequence[Block], rates: Rates) -> Estimate:
        """Bytes as for any compact index, time only for the rows to compute."""
        rank = math.ceil(self.encoder.layout.width / len(blocks))
        whole = estimate_compact(rows, [block.parameters for block in blocks], rank, rates)
        work = len(self.rows.added) + len(self.rows.removed)
        return replace(whole, seconds=work / rates.rows_per_second)


def match_old(runtime: Runtime, index: Index, blocks: Sequence[Block]) -> Matched:
    """Compare the data set with the old index's, by content.

    Raises Conflict when the old index is gone or another one, ShardMissing when part of it is lost, InvalidRequest
    when no row is shared.
    """
    old = _require_old(runtime, index, blocks)
    try:
        matched = _match(runtime, index, old)
    except DamagedChunk as damage:
        raise ShardMissing(
            f"Part of {old.id} is lost, so nothing can grow from it now.",
            hint="Ask it a query: that computes a lost shard again. Then send the request again.",
            extra={"index_id": old.id},
        ) from damage
    if _require_old(runtime, index, blocks).job_id != old.job_id:
        raise Conflict(f"{old.id} was built anew meanwhile.", hint="Send the request again.")
    return matched


def _require_old(runtime: Runtime, index: Index, blocks: Sequence[Block]) -> Index:
    assert index.spec.grow_from is not None
    try:
        old = require_ready(runtime, index.spec.grow_from, hint="Send the request again when it is ready.")
    except NotFound as error:
        raise Conflict(
            f"{index.spec.grow_from} was deleted meanwhile.", hint="Build the index without 'grow_from'."
        ) from error
    if old.blocks != tuple(blocks):
        raise Conflict(f"{old.id} was built of other blocks.", hint="Build the index without 'grow_from'.")
    return old


def _match(runtime: Runtime, index: Index, old: Index) -> Matched:
    data = runtime.store.index_data
    commits = data.require_commits(old.build, old.shards)
    kept = np.concatenate([read_kept(data, old, commit.shard, commit.rows) for commit in commits])
    before, after = (open_rows(runtime, name).row_digests() for name in (old.spec.dataset_id, index.spec.dataset_id))
    plan = match_rows(_as_keys(before[kept]), _as_keys(after))
    if not (plan.source >= 0).any():
        raise InvalidRequest(
            f"{index.spec.dataset_id} shares no row with {old.spec.dataset_id}, which {old.id} was built of.",
            hint="Build the index without 'grow_from'.",
        )
    source = np.where(plan.source >= 0, kept[plan.source], -1)
    encoder, sample = runtime.encoders.get(data, old)
    moments = unpack_moments(data.require_parts(old.build, MOMENTS))
    rows = RowPlan(source, plan.added, kept[plan.removed])
    return Matched(old, encoder, sample, moments, rows, _read_late(data, old))


def _read_late(data: IndexData, old: Index) -> NDArray[np.bool_]:
    late = data.read_parts(old.build, LATE).get("rows")
    if late is None:
        return np.zeros(old.rows, np.bool_)
    return np.unpackbits(late.astype(np.uint8, copy=False), count=old.rows).astype(np.bool_)


def _as_keys(digests: NDArray[np.uint8]) -> list[bytes]:
    return [digest.tobytes() for digest in np.ascontiguousarray(digests)]


def store_growth(
    runtime: Runtime, index: Index, model: HotModel, matched: Matched, progress: JobProgress
) -> dict[str, Any]:
    """Write what the shards need; answers fields of the index's record. A second run writes the same again."""
    remaining = matched.moments - _sum_removed(runtime, index, model, matched, progress)
    size = retry_while_full(runtime, index.job_id, lambda: _write(runtime, index, matched, remaining))
    source, old = matched.rows.source, matched.old
    growth = Growth(
        grown_from=old.id,
        grown_from_job=old.built_by or old.job_id,
        rows_reused=int((source >= 0).sum()),
        rows_reused_late=int(matched.late[source[source >= 0]].sum()),
        rows_computed=len(matched.rows.added),
        rows_removed=len(matched.rows.removed),
        baseline=_baseline(matched),
    )
    return {"growth": growth, "fidelity": old.fidelity, "bytes": size}


def _baseline(matched: Matched) -> float:
    """What the basis missed when it was fitted: of held-out rows, or of the sample where there were none."""
    old = matched.old
    if old.growth is not None:
        return old.growth.baseline
    return residual_share(matched.encoder, matched.encoder.sample) if old.fidelity is None else old.fidelity["residual"]


def _write(runtime: Runtime, index: Index, matched: Matched, remaining: Moments) -> int:
    data, source = runtime.store.index_data, matched.rows.source
    late = np.where(source >= 0, matched.late[source], True)
    size = data.write_parts(index.build, ENCODER, pack_encoder(matched.encoder))
    size += data.write_parts(index.build, SAMPLE, _move_sample(matched).to_arrays())
    size += data.write_parts(index.build, LATE, {"rows": np.packbits(late)})
    for shard in range(index.shards):
        start = shard * index.rows_per_shard
        size += data.write_rows(index.build, shard, SOURCE, source[start : start + index.rows_per_shard])[0]
    data.write_parts(index.build, OLD_MOMENTS, pack_moments(remaining))
    return size


def _move_sample(matched: Matched) -> Sample:
    """The rows that the old plan computed and that stay, as rows of the new data set, ascending."""
    places = np.full(matched.old.rows, -1, np.int64)
    reused = np.flatnonzero(matched.rows.source >= 0)
    places[matched.rows.source[reused]] = reused
    sample = matched.sample
    rows = places[sample.rows]
    order = np.argsort(rows, kind="stable")[int((rows < 0).sum()) :]
    return Sample(rows[order], sample.projected.take(order), sample.losses[order])


def _sum_removed(runtime: Runtime, index: Index, model: HotModel, matched: Matched, progress: JobProgress) -> Moments:
    """Moments of the rows that left. Their exact codes are not stored, so their gradients are computed again."""
    removed, sample, encoder = matched.rows.removed, matched.sample, matched.encoder
    known = np.flatnonzero(np.isin(sample.rows, removed))
    total = encoder.sum_moments(sample.projected.take(known))
    unknown = np.setdiff1d(removed, sample.rows)
    file = open_indexed_rows(runtime, matched.old)
    runtime.store.jobs.set_phase(index.job_id, SUBTRACTING, total=len(unknown))
    done = 0
    for start in range(0, len(unknown), _REMOVED_ROWS):
        encoded = model.task.tokenise(file.read_many(unknown[start : start + _REMOVED_ROWS].tolist()))
        for positions, found in stream_rows(runtime, model, encoded, budget=planned_budget(index)):
            _require_finite([encoded[positions[row]].row_id for row in found.find_non_finite()])
            total = total + encoder.sum_moments(encoder.project([block.float() for block in found.blocks.values()]))
            done += len(positions)
            progress.report(done)
    return total


def _require_finite(bad: Sequence[str]) -> None:
    if bad:
        raise NonFiniteGradients(
            f"Rows that left had finite gradients before and have none now, for example {bad[0]}.",
            hint="Build the index without 'grow_from'.",
            extra={"row_ids": list(bad[:20])},
        )
