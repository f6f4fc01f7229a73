"""The two reasons to stop work in hand: its job is over, or the process is asked to end."""

from collections.abc import Callable

from influence.errors import Cancelled
from workers.runtime.state import Runtime


class ShutdownRequested(BaseException):
    """Raised between micro-batches when the process is asked to end; the message goes back to the queue."""


def check_stopping(runtime: Runtime) -> None:
    """Raise ShutdownRequested when the process is asked to end."""
    if runtime.stopping.is_set():
        raise ShutdownRequested


def check_wanted(runtime: Runtime, job_id: str, clear_up: Callable[[], None] = lambda: None) -> None:
    """Between pieces of work: raise ShutdownRequested, or what `require_wanted` raises."""
    check_stopping(runtime)
    require_wanted(runtime, job_id, clear_up)


def require_wanted(runtime: Runtime, job_id: str, clear_up: Callable[[], None] = lambda: None) -> None:
    """Raise Cancelled, after `clear_up`, when nobody wants the job any more: cancelled, deleted, or failed elsewhere.

    Whoever ended it cleared up at that moment; what was written since would stay for ever.
    """
    state = runtime.store.jobs.state(job_id)
    if state in (None, "failed", "cancelled"):
        clear_up()
        raise Cancelled(f"The job is over: {state or 'deleted'}.")
