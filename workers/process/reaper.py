"""Nothing accepted is ever lost: compare what is planned with what is done and what is queued, and submit the rest.

Messages can vanish: a server that lost its last second, a message retried to death. Records, commits and results say
what is missing, so the queue can always be made whole again.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import structlog

from influence.contracts.common import now
from influence.contracts.evaluation.record import Evaluation
from influence.contracts.index import Index
from influence.contracts.work import QUEUES
from influence.contracts.work_record import WorkRecord
from influence.errors import NotFound, RecordDamaged
from influence.store.store import Store
from influence.store.work import address

log = structlog.get_logger()

#: Whoever makes a job keeps its record a moment later, or died in between; nobody was told of the job then.
UNKEPT_SECONDS = 600.0

Message = tuple[str, dict[str, Any]]


def resubmit_lost_work(store: Store) -> int:
    """Submit what no message stands for any more; answers how many messages were added."""
    going = list(_records_at_work(store))
    if not going:
        return 0
    for queue in QUEUES:
        store.queue.share(queue)  # what is tried again comes back behind all others
    # Before what is missing: work that ends in between is then neither missing nor submitted again.
    waiting = {_identity(message) for queue in QUEUES for message in store.queue.waiting(queue)}
    missing = [message for record in going for message in _find_missing(store, record)]
    lost = [message for message in missing if _identity(message) not in waiting]
    for actor, arguments in lost:
        log.warning("work without a message is submitted again", actor=actor, **arguments)
    for actor, messages in groupby(lost, key=itemgetter(0)):
        store.queue.submit_all(actor, [arguments for _, arguments in messages])
    return len(lost)


def _records_at_work(store: Store) -> Iterator[WorkRecord]:
    for job in store.jobs.open():
        try:
            record = store.work[job.kind].find(job.resource_id)
        except (RecordDamaged, NotFound) as error:  # a job that is about nothing is damaged itself
            store.jobs.fail(job.id, error.problem())
            continue
        if record is not None and record.job_id == job.id:
            yield record
        elif (now() - job.created_at).total_seconds() > UNKEPT_SECONDS:
            log.warning("a job that has no record is removed", job_id=job.id, resource=job.resource)
            store.jobs.delete(job.id)


def _find_missing(store: Store, record: WorkRecord) -> Iterable[Message]:
    """Messages of which at least one has to wait while the work is not over."""
    if store.jobs.state(record.job_id) not in ("queued", "running"):
        return ()
    if isinstance(record, Index):
        return _missing_of_index(store, record)
    if isinstance(record, Evaluation):
        return _missing_of_evaluation(store, record)
    return (address(store, record),)


def _missing_of_index(store: Store, index: Index) -> Iterable[Message]:
    if not index.shards:
        return (address(store, index),)
    committed = store.index_data.commits(index.build)
    missing = [shard for shard in range(index.shards) if shard not in committed]
    if not missing:
        return (address(store, index, "finish_index"),)
    return (address(store, index, "compute_shard", shard=shard) for shard in missing)


def _missing_of_evaluation(store: Store, evaluation: Evaluation) -> Iterable[Message]:
    if not evaluation.pieces:
        return (address(store, evaluation),)
    missing = set(range(evaluation.pieces)) - store.evaluation_data.pieces_done(evaluation.id)
    if not missing:
        return (address(store, evaluation, "finish_evaluation"),)
    return (address(store, evaluation, "evaluate_piece", piece=piece) for piece in sorted(missing))


def _identity(message: Message) -> tuple[Any, ...]:
    actor, arguments = message
    return (actor, *sorted(arguments.items()))
