"""Long work of any kind, from accepted to deleted; each of its moments in the one order that can be cut off anywhere.

A record belongs to the job that it names. What a job wants to write once its record is gone, ended or another job's is
dropped, and what it wrote beside the record is removed.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from influence.contracts.common import Json, now
from influence.contracts.job import Job
from influence.contracts.work_record import JobState, WorkRecord
from influence.errors import Cancelled, NotFound, RecordDamaged
from influence.store.records import WorkRecords
from influence.store.store import Store

Made = TypeVar("Made", bound=WorkRecord)


def accept(store: Store, record: Made) -> Made:
    """Take on new work: its job, its record, its first message. Answers the record at its id now.

    That is an earlier one where equal work was taken on before and something came of it, or still may.
    """
    kept = keep(store, record)
    if kept.job_id == record.job_id:
        send(store, kept)
    return kept


def keep(store: Store, record: Made) -> Made:
    """Job and record of new work, without a message; answers the record at its id now.

    The job comes first: a record without a job would look like work for ever, a job without a record harms no one.
    """
    records = store.records_of(record)
    path = records.kind.path(record.id)
    store.jobs.create(record.job_id, records.kind.name, record.id, path, namespace=record.namespace)
    kept = records.claim(record, lambda current: is_dead(store, current))
    if kept.job_id != record.job_id:
        store.jobs.delete(record.job_id)
    return kept


def is_dead(store: Store, record: WorkRecord) -> bool:
    """Whether nothing will come of a record any more."""
    if record.state == "succeeded":
        return False
    return record.is_final or store.jobs.is_cancelled(record.job_id)


def send(store: Store, record: WorkRecord, actor: str | None = None, **arguments: Any) -> None:
    """Put a message about a record on the queue: for the first step of its work, or for the one named."""
    name, about = address(store, record, actor, **arguments)
    store.queue.submit(name, **about)


def send_all(store: Store, record: WorkRecord, actor: str, pieces: Iterable[Json]) -> None:
    """Put a message for each piece of the work on the queue, given by its own arguments."""
    store.queue.submit_all(actor, [address(store, record, actor, **piece)[1] for piece in pieces])


def send_following(store: Store, record: WorkRecord, actor: str | None = None) -> None:
    """Put the next turn of the work in hand on the queue; see `Queue.submit_following`."""
    name, about = address(store, record, actor)
    store.queue.submit_following(name, **about)


def address(store: Store, record: WorkRecord, actor: str | None = None, **arguments: Any) -> tuple[str, Json]:
    """Actor and arguments of a message about a record. It names the job: another job's record does not heed it."""
    kind = store.records_of(record).kind
    return actor or kind.actors[0], {kind.argument: record.id, "job_id": record.job_id, **arguments}


def with_job_state(store: Store, record: Made) -> Made:
    """The record with what its job knows better while it is not final: the state, and the progress if it shows one."""
    if record.is_final:
        return record
    try:
        job = store.jobs.find(record.job_id)
    except RecordDamaged as error:
        return record.model_copy(update={"state": "failed", "error": error.problem()})
    if job is None or job.state == "succeeded":
        return record
    known: Json = {"state": job.state, "error": record.error or job.error}
    if "progress" in type(record).model_fields:
        known["progress"] = job.progress
    return record.model_copy(update=known)


def advance(store: Store, record: Made, change: Callable[[Made], Made]) -> Made:
    """Change the record of work in hand. Raises Cancelled where the record is gone, final or another job's."""
    changed = _change(store, record, change)
    if changed is None:
        raise Cancelled(f"The work on {record.id} is over.")
    return changed


def finish(store: Store, record: Made, change: Callable[[Made], Made]) -> None:
    """Write the result of work and end its job. Raises Cancelled as `advance` does."""
    close(store, advance(store, record, lambda current: _end(change(current), "succeeded")))


def fail(store: Store, record: WorkRecord, problem: Json) -> None:
    """Write what went wrong, end the job, remove what was made so far."""
    ended = _change(store, record, lambda current: _end(current, "failed", error=problem))
    if ended is not None:
        close(store, ended)
    else:
        store.jobs.fail(record.job_id, problem)
    drop_unwanted(store, record)


def close(store: Store, record: WorkRecord) -> None:
    """End the job of a record that is final, as the record says; its lifetime begins. Safe to run twice.

    The record comes first, here and everywhere: a job that is over promises that its record says how it went.
    """
    records = store.records_of(record)
    if records.kind.lifetime_seconds is not None:
        records.expire(record.id, records.kind.lifetime_seconds)
    if record.state == "failed":
        store.jobs.fail(record.job_id, record.error or {}, records.kind.lifetime_seconds)
    elif record.state == "cancelled":
        store.jobs.cancel(record.job_id)
    else:
        records.delete_work(record.id)
        store.jobs.succeed(record.job_id)


def cancel(store: Store, job_id: str) -> Job:
    """Cancel a job and remove what it made so far; a job that is over stays as it is. Raises NotFound.

    A job that was cancelled before is cleared up again: whoever cancelled it may have died before that.
    """
    store.jobs.require(job_id)
    store.jobs.cancel(job_id)
    job = store.jobs.require(job_id)
    record = store.work[job.kind].find_whole(job.resource_id)
    if job.state == "cancelled" and record is not None and record.job_id == job_id:
        _clear_up(store, record)
    return job


def _clear_up(store: Store, record: WorkRecord) -> None:
    if not store.records_of(record).kind.leaves_record:
        delete(store, record)
        return
    ended = _change(store, record, lambda current: _end(current, "cancelled"))
    if ended is not None:
        close(store, ended)
    drop_unwanted(store, record)


def erase(store: Store, records: WorkRecords[Any], record_id: str) -> None:
    """Delete by id, also a record that cannot be read. Raises NotFound."""
    try:
        delete(store, records.require(record_id))
    except RecordDamaged:
        for job in store.jobs.open():
            if job.resource_id == record_id:
                store.jobs.cancel(job.id)
        if records.kind.is_source:
            delete_dependents(store, record_id)
        records.delete_data(record_id)
        records.delete(record_id)
        store.deletions.announce(record_id)


def delete(store: Store, record: WorkRecord) -> None:
    """Remove a record, what it keeps and what was made from it; work on it is cancelled first.

    Until the record is gone a deletion that was cut off can be repeated; once it is marked as cancelled nobody writes
    behind the deletion's back.
    """
    records = store.records_of(record)
    store.jobs.cancel(record.job_id)
    _change(store, record, lambda current: _end(current, "cancelled"), also_final=True)
    if records.kind.is_source:
        delete_dependents(store, record.id)
    records.delete_data(record.data_id)
    records.delete_if(record.id, lambda current: current.job_id == record.job_id)
    store.deletions.announce(record.id)
    # What went wrong may quote a row; at an address several jobs may have gone wrong.
    if records.kind.leaves_record:
        store.jobs.forget_error(record.job_id)
    else:
        store.jobs.forget_errors(record.id)


def delete_dependents(store: Store, resource_id: str, *, reports_too: bool = False) -> None:
    """Delete all records that were made from a resource and do not hold it; with `reports_too` also those that held it
    only while they were at work, as evaluations do. Whose they are does not matter."""
    store = store.whole
    for records in store.work.values():
        if records.kind.holds is None or (reports_too and records.kind.holds == "at work"):
            for record in records.each():
                if resource_id in record.sources:
                    delete(store, record)


def drop_unwanted(store: Store, record: WorkRecord) -> None:
    """Remove what a job wrote beside its record, unless it had succeeded.

    Whoever ended the job cleared up at that moment; what was written since would stay for ever.
    """
    current = store.records_of(record).find(record.id)
    is_own = current is not None and current.job_id == record.job_id
    if current is None or current.data_id != record.data_id or (is_own and current.state != "succeeded"):
        store.records_of(record).delete_data(record.data_id)


def _change(store: Store, record: Made, change: Callable[[Made], Made], *, also_final: bool = False) -> Made | None:
    """Change a record while it is its job's and not final; None where it is not, or gone."""

    def change_own(current: Made) -> Made:
        if current.job_id != record.job_id or (current.is_final and not also_final):
            raise Cancelled(f"{record.id} is over.")
        return change(current)

    try:
        return store.records_of(record).update(record.id, change_own)
    except (NotFound, Cancelled):
        return None


def _end(record: Made, state: JobState, **changes: Any) -> Made:
    if "finished_at" in type(record).model_fields:
        changes["finished_at"] = now()
    return record.model_copy(update={"state": state, **changes})
