"""An index that can be asked and a worker that would answer, or why there is none."""

from app.http.limits import RETRY_SECONDS
from app.http.prefer_wait import retry_after_seconds
from influence.contracts.index import Index
from influence.errors import IndexFailed, IndexNotReady, NoWorker, TooManyRequests
from influence.store.store import Store
from influence.store.work import with_job_state


def require_ready(store: Store, index_id: str) -> Index:
    """An index that can be queried. Raises NotFound, IndexNotReady with the progress, IndexFailed with the cause."""
    index = with_job_state(store, store.indexes.require(index_id))
    if index.state in ("failed", "cancelled"):
        raise IndexFailed(
            f"The index {index_id} has {index.state}.", extra={"error": index.error, "job_id": index.job_id}
        )
    if index.state != "succeeded":
        progress = None if index.progress is None else index.progress.model_dump(mode="json")
        raise IndexNotReady(
            f"The index {index_id} is {index.state}.",
            hint=f"Wait for the job {index.job_id}, then ask again.",
            extra={
                "job_id": index.job_id,
                "state": index.state,
                "progress": progress,
                "retry_after_seconds": retry_after_seconds(store.jobs.find(index.job_id)),
            },
        )
    return index


def refuse_full_queue(store: Store, most: int) -> None:
    """Raise TooManyRequests where `most` queries and the like wait or are worked on: more would only wait longer."""
    waiting = store.queue.depth("query")
    if waiting >= most:
        raise TooManyRequests(
            f"{waiting} queries wait or are worked on, as many as this service takes.",
            extra={"retry_after_seconds": RETRY_SECONDS, "queued": waiting},
        )


def refuse_full_namespace(store: Store, most: int) -> None:
    """Raise TooManyRequests where a namespace has `most` jobs that are not over: others' would wait for them."""
    if store is store.whole or store.jobs.count_open() < most or len(store.jobs.open()) < most:
        return  # the second count leaves out jobs that have ended and were not taken off the list
    raise TooManyRequests(
        f"{most} jobs of this namespace wait or run, as many as it may have.",
        extra={"retry_after_seconds": RETRY_SECONDS},
    )


def require_worker(store: Store) -> None:
    """Raise NoWorker: waiting would be in vain."""
    if not store.workers.alive():
        raise NoWorker("No worker is running, so waiting would not help.")
