"""The two reasons to stop work in hand: its job is over, or the process is asked to end."""

from influence.errors import Cancelled
from workers.runtime.state import Runtime


class ShutdownRequested(BaseException):
    """Raised between micro-batches when the process is asked to end; the message goes back to the queue."""


def check_stopping(runtime: Runtime) -> None:
    """Raise ShutdownRequested when the process is asked to end."""
    if runtime.stopping.is_set():
        raise ShutdownRequested


def check_wanted(runtime: Runtime, job_id: str) -> None:
    """Between pieces of work: raise ShutdownRequested, or what `require_wanted` raises."""
    check_stopping(runtime)
    require_wanted(runtime, job_id)


def require_wanted(runtime: Runtime, job_id: str) -> None:
    """Raise Cancelled when nobody wants the job any more: cancelled, deleted, or failed elsewhere.

    Whoever called for the work removes then what it wrote (see influence.store.work).
    """
    if not is_wanted(runtime, job_id):
        raise Cancelled(f"The job is over: {runtime.store.jobs.state(job_id) or 'deleted'}.")


def is_wanted(runtime: Runtime, job_id: str) -> bool:
    """Whether a job is not cancelled, deleted, or failed elsewhere."""
    return runtime.store.jobs.state(job_id) not in (None, "failed", "cancelled")
