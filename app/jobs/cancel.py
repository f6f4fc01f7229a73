"""Cancelling a job, and leaving nothing of its work behind."""

from app.indexes.submit import erase_index
from influence.contracts.job import Job
from influence.errors import Conflict
from influence.store import keys
from influence.store.store import Store

#: Kinds of jobs whose results stay until they are deleted.
_KEPT = ("index", "evaluation")


def cancel_job(store: Store, job_id: str) -> Job:
    """Cancel; a job that was cancelled before is answered as it is.

    Raises NotFound, and Conflict for a job that succeeded or failed.
    """
    store.jobs.require(job_id)
    store.jobs.cancel(job_id)
    job = store.jobs.require(job_id)
    if job.state != "cancelled":
        raise Conflict(
            f"The job {job_id} has {job.state} already.",
            hint=f"Delete {job.resource} instead." if job.kind in _KEPT else "There is nothing left to cancel.",
            extra={"state": job.state},
        )
    # Also when it was cancelled before: whoever did it may have died before clearing up.
    _clear_up(store, job)
    return job


def _clear_up(store: Store, job: Job) -> None:
    if job.kind == "index":
        index = store.indexes.find(job.resource_id)
        if index is not None and index.job_id == job.id:
            erase_index(store, index.id)
    elif job.kind == "evaluation":
        if store.evaluations.find(job.resource_id) is not None:
            ended = {"state": "cancelled", "finished_at": job.finished_at}
            store.evaluations.update(job.resource_id, lambda found: found.model_copy(update=ended))
        store.evaluation_data.delete(job.resource_id)
    elif job.kind == "query":
        if store.queries.find(job.resource_id) is not None:
            store.queries.update(job.resource_id, lambda query: query.model_copy(update={"state": "cancelled"}))
            store.queries.expire(job.resource_id, keys.QUERY_SECONDS)
    elif job.kind == "sweep":
        if store.sweeps.find(job.resource_id) is not None:
            store.sweeps.update(job.resource_id, lambda sweep: sweep.model_copy(update={"state": "cancelled"}))
            store.sweeps.expire(job.resource_id, keys.QUERY_SECONDS)
    elif job.kind == "audit":
        if store.audits.find(job.resource_id) is not None:
            store.audits.update(job.resource_id, lambda audit: audit.model_copy(update={"state": "cancelled"}))
            store.audits.expire(job.resource_id, keys.QUERY_SECONDS)
        store.audit_data.delete(job.resource_id)
    elif store.previews.find(job.resource_id) is not None:
        store.previews.update(job.resource_id, lambda preview: preview.model_copy(update={"state": "cancelled"}))
        store.previews.expire(job.resource_id, keys.QUERY_SECONDS)
