"""Nothing accepted is ever lost: compare what is planned with what is done and what is queued, and submit the rest.

Messages can vanish: a server that lost its last second, a message retried to death. Records, commits and results say
what is missing, so the queue can always be made whole again.
"""

from typing import Any

import structlog

from influence.contracts.audit import Audit
from influence.contracts.evaluation import Evaluation
from influence.contracts.index import Index
from influence.contracts.job import FINAL_STATES
from influence.store.store import Store

log = structlog.get_logger()

Message = tuple[str, dict[str, Any]]


def resubmit_lost_work(store: Store) -> int:
    """Submit what no message stands for any more; answers how many messages were added."""
    return _resubmit_builds(store) + _resubmit_audits(store)


def _resubmit_audits(store: Store) -> int:
    """An audit is worked on in turns: the message of the next one is all that keeps it going."""
    going = [audit for audit in store.audits.all() if _is_wanted(store, audit)]
    waiting = (
        [arguments for actor, arguments in store.queue.waiting("query") if actor == "audit_index"] if going else []
    )
    lost = [audit.id for audit in going if {"audit_id": audit.id} not in waiting]
    for audit_id in lost:
        log.warning("work without a message is submitted again", actor="audit_index", audit_id=audit_id)
        store.queue.submit("audit_index", audit_id=audit_id)
    return len(lost)


def _resubmit_builds(store: Store) -> int:
    """Builds of indexes, and evaluations, which take their turns with them."""
    indexes = [index for index in store.indexes.all() if _is_wanted(store, index)]
    evaluations = [evaluation for evaluation in store.evaluations.all() if _is_wanted(store, evaluation)]
    if not indexes and not evaluations:
        return 0
    # Before what is missing: work that ends in between is then neither missing nor submitted again.
    waiting = {_identity(actor, arguments) for actor, arguments in store.queue.waiting("build")}
    missing = [message for index in indexes for message in _missing_of_index(store, index)]
    missing += [message for evaluation in evaluations for message in _missing_of_evaluation(store, evaluation)]
    lost = [(actor, arguments) for actor, arguments in missing if _identity(actor, arguments) not in waiting]
    for actor, arguments in lost:
        log.warning("work without a message is submitted again", actor=actor, **arguments)
        store.queue.submit(actor, **arguments)  # type: ignore[arg-type]
    return len(lost)


def _is_wanted(store: Store, work: Index | Evaluation | Audit) -> bool:
    return work.state not in FINAL_STATES and not store.jobs.is_cancelled(work.job_id)


def _missing_of_index(store: Store, index: Index) -> list[Message]:
    if not index.shards:
        return [("plan_index", {"index_id": index.id})]
    committed = store.index_data.commits(index.id)
    missing = [shard for shard in range(index.shards) if shard not in committed]
    if not missing:
        return [("finish_index", {"index_id": index.id})]
    return [("compute_shard", {"index_id": index.id, "shard": shard}) for shard in missing]


def _missing_of_evaluation(store: Store, evaluation: Evaluation) -> list[Message]:
    if not evaluation.pieces:
        return [("plan_evaluation", {"evaluation_id": evaluation.id})]
    missing = set(range(evaluation.pieces)) - store.evaluation_data.pieces_done(evaluation.id)
    if not missing:
        return [("finish_evaluation", {"evaluation_id": evaluation.id})]
    return [("evaluate_piece", {"evaluation_id": evaluation.id, "piece": piece}) for piece in sorted(missing)]


def _identity(actor: str, arguments: dict[str, Any]) -> tuple[Any, ...]:
    return (actor, *sorted(arguments.items()))
