"""What a process has in memory of an index or a query leaves with it, whether or not anybody asks for it again."""

import structlog

from influence.contracts.index import Index
from influence.errors import IndexNotReady, NotFound
from influence.store.connections import StoreError
from influence.store.work import drop_unwanted
from workers.runtime.state import Runtime

log = structlog.get_logger()

_RETRY_SECONDS = 1.0


def follow_deletions(runtime: Runtime, hear_seconds: float) -> None:
    """Forget what was deleted as it is announced; ends within `hear_seconds` when the process is to end."""
    while not runtime.stopping.is_set():
        try:
            with runtime.store.deletions.listen() as hear:
                forget_deleted(runtime)
                while not runtime.stopping.is_set():
                    if (record_id := hear(hear_seconds)) is not None:
                        forget(runtime, record_id)
        except StoreError as error:
            log.warning("announcements of deleted indexes are not heard", error=str(error))
            runtime.stopping.wait(_RETRY_SECONDS)


def forget(runtime: Runtime, record_id: str) -> None:
    """Drop all that is in memory of an index or a query; what is being loaded of it is not kept."""
    runtime.hot_indexes.forget(record_id)
    runtime.encoders.forget(record_id)
    runtime.gradient_cache.forget(record_id)
    runtime.kept_points.forget(record_id)


def forget_deleted(runtime: Runtime) -> None:
    """Drop what is gone, and indexes built anew: an announcement may have been lost with a connection."""
    for query_id in runtime.kept_points.queries():
        if runtime.store.queries.find_whole(query_id) is None:
            forget(runtime, query_id)
    for index_id, job_id in _held_builds(runtime):
        current = runtime.store.indexes.find_whole(index_id)
        if current is None or current.job_id != job_id:
            forget(runtime, index_id)


def _held_builds(runtime: Runtime) -> set[tuple[str, str]]:
    of_rows = runtime.hot_indexes.builds() | runtime.encoders.builds() | runtime.gradient_cache.builds()
    return of_rows | runtime.kept_points.builds()


def drop_if_deleted(runtime: Runtime, index: Index) -> None:
    """After something was written for an index: remove it again if the index was deleted. Raises NotFound then."""
    drop_unwanted(runtime.store, index)
    require_kept(runtime, index)


def forget_if_deleted(runtime: Runtime, index: Index, query_id: str | None = None) -> None:
    """After something of an index was kept in memory: forget it again if the index was deleted, or the query that it
    was computed for. Raises NotFound then, and what `require_kept` raises.

    A record goes before its deletion is announced: what was kept while there was one is forgotten by the announcement.
    """
    try:
        require_kept(runtime, index)
    except (NotFound, IndexNotReady):
        forget(runtime, index.id)
        raise
    if query_id is not None:
        try:
            runtime.store.queries.require_there(query_id)
        except NotFound:
            forget(runtime, query_id)
            raise


def require_kept(runtime: Runtime, index: Index) -> None:
    """Raise NotFound when an index was deleted since its record was read, IndexNotReady when it is built anew."""
    current = runtime.store.indexes.find(index.id)
    if current is None or current.state == "cancelled":  # a record on its way out is marked so
        raise NotFound(f"The index {index.id} was deleted meanwhile.", hint="Build it again with the same request.")
    if current.job_id != index.job_id:
        raise IndexNotReady(
            f"The index {index.id} was built anew meanwhile and is {current.state}.",
            hint=f"Ask again once the job {current.job_id} is done.",
            extra={"job_id": current.job_id},
        )
