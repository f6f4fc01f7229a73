"""Cancelling a job over HTTP."""

from influence.contracts.job import Job
from influence.errors import Conflict
from influence.store.store import Store
from influence.store.work import cancel


def cancel_job(store: Store, job_id: str) -> Job:
    """Cancel; a job that was cancelled before is answered as it is.

    Raises NotFound, and Conflict for a job that succeeded or failed.
    """
    job = cancel(store, job_id)
    if job.state != "cancelled":
        raise Conflict(
            f"The job {job_id} has {job.state} already.",
            hint=f"Delete {job.resource} instead.",
            extra={"state": job.state},
        )
    return job
