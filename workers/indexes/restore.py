"""A ready index that lost more than a query can compute goes back to the builders, and says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import structlog

from influence.contracts.index import Index
from influence.contracts.job import Job
from influence.contracts.work import INDEX
from influence.digests import new_id
from influence.errors import IndexNotReady, NotFound
from influence.store.data.chunks import DamagedChunk
from influence.store.work import send
from workers.runtime.basis_sample import MOMENTS
from workers.runtime.deletions import forget, require_kept
from workers.runtime.state import Runtime

log = structlog.get_logger()


@contextmanager
def restoring(runtime: Runtime, index: Index) -> Iterator[None]:
    """Around reading a ready index: what is lost beyond a query's means sends it back to the builders.

    Raises IndexNotReady then, and NotFound when the index was deleted.
    """
    try:
        yield
    except DamagedChunk as damage:
        require_kept(runtime, index)
        compute_again(runtime, index, damage)


def compute_again(runtime: Runtime, index: Index, damage: DamagedChunk) -> NoReturn:
    """Let an index whose commits, basis or moments are lost be built again under a new job.

    Where commits are lost, only the shards are computed; what was measured of the index still holds. Raises
    IndexNotReady naming the job, or NotFound when the index was deleted meanwhile. However many notice the damage, one
    job comes of it.
    """
    forget(runtime, index.id)
    jobs, is_whole = runtime.store.jobs, has_whole_parts(runtime, index)
    job = jobs.create(new_id("job"), "index", index.id, INDEX.path(index.id), namespace=index.namespace)
    try:
        current = runtime.store.indexes.update(
            index.id, lambda current: _reopen(current, index, job, is_whole=is_whole)
        )
    except NotFound:
        jobs.delete(job.id)
        raise
    if current.job_id == job.id:
        log.warning("a ready index lost a part and is computed again", index_id=index.id, cause=str(damage))
        send(runtime.store, current)
    else:
        jobs.delete(job.id)
    raise IndexNotReady(
        f"Part of {index.id} was lost ({damage}); it is being computed again.",
        hint=f"Wait for the job {current.job_id}, then ask again.",
        extra={"job_id": current.job_id},
    ) from damage


def has_whole_parts(runtime: Runtime, index: Index) -> bool:
    """Whether all is there that shards need and do not hold themselves: basis and moments of compact storage."""
    if index.spec.storage == "full":
        return True
    try:
        runtime.encoders.get(runtime.store.index_data, index)
        runtime.store.index_data.require_parts(index.build, MOMENTS)
    except DamagedChunk:
        return False
    return True


def _reopen(current: Index, damaged: Index, job: Job, *, is_whole: bool) -> Index:
    if current.state != "succeeded" or current.job_id != damaged.job_id:
        return current  # another was faster
    if is_whole:
        return current.model_copy(
            update={"state": "queued", "job_id": job.id, "built_by": current.built_by or current.job_id}
        )
    return Index(
        id=current.id,
        job_id=job.id,
        state="queued",
        spec=current.spec,
        rows=current.rows,
        calibrations=current.calibrations,
        created_at=current.created_at,
        namespace=current.namespace,
    )
