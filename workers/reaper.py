"""Nothing accepted is ever lost: compare what is planned with what is done and what is queued, and submit the rest.

Messages can vanish: a server that lost its last second, a message retried to death. The index's record and commits
say what is missing, so the queue can always be made whole again.
"""

from typing import Any

import structlog

from influence.contracts.index import Index
from influence.store.store import Store

log = structlog.get_logger()


def resubmit_lost_work(store: Store) -> int:
    """Submit what no message stands for any more; answers how many messages were added."""
    return _resubmit_builds(store) + _resubmit_audits(store)


def _resubmit_audits(store: Store) -> int:
    """An audit is worked on in turns: the message of the next one is all that keeps it going."""
    going = [audit for audit in store.audits.all() if audit.state in ("queued", "running")]
    waiting = (
        [arguments for actor, arguments in store.queue.waiting("query") if actor == "audit_index"] if going else []
    )
    lost = [
        audit.id
        for audit in going
        if {"audit_id": audit.id} not in waiting and not store.jobs.is_cancelled(audit.job_id)
    ]
    for audit_id in lost:
        log.warning("work without a message is submitted again", actor="audit_index", audit_id=audit_id)
        store.queue.submit("audit_index", audit_id=audit_id)
    return len(lost)


def _resubmit_builds(store: Store) -> int:
    building = [index for index in store.indexes.all() if index.state in ("queued", "running")]
    if not building:
        return 0
    waiting = {_identity(actor, arguments) for actor, arguments in store.queue.waiting("build")}
    return sum(_resubmit(store, index, waiting) for index in building)


def _resubmit(store: Store, index: Index, waiting: set[tuple[Any, ...]]) -> int:
    if store.jobs.is_cancelled(index.job_id):
        return 0
    added = 0
    for actor, arguments in _missing(store, index):
        if _identity(actor, arguments) not in waiting:
            log.warning("work without a message is submitted again", actor=actor, **arguments)
            store.queue.submit(actor, **arguments)  # type: ignore[arg-type]
            added += 1
    return added


def _missing(store: Store, index: Index) -> list[tuple[str, dict[str, Any]]]:
    if not index.shards:
        return [("plan_index", {"index_id": index.id})]
    committed = store.index_data.commits(index.id)
    missing = [shard for shard in range(index.shards) if shard not in committed]
    if not missing:
        return [("finish_index", {"index_id": index.id})]
    return [("compute_shard", {"index_id": index.id, "shard": shard}) for shard in missing]


def _identity(actor: str, arguments: dict[str, Any]) -> tuple[Any, ...]:
    return (actor, *sorted(arguments.items()))
