"""Who depends on a checkpoint or a data set."""

from collections.abc import Iterator
from typing import Any

from influence.errors import ResourceInUse
from influence.store.records import WorkRecords
from influence.store.store import Store

_NAMED = 20


def refuse_referenced(store: Store, resource_id: str) -> None:
    """Raise ResourceInUse naming what holds a checkpoint or a data set: for ever, or while it is worked on."""
    store = store.whole  # an administrator's index may depend on anybody's
    for records in store.work.values():
        hint = "Wait for them, or delete them first." if records.kind.holds == "at work" else None
        _refuse(resource_id, records.kind.collection, list(_holders(store, records, resource_id)), hint)
    runs = [run.id for run in store.runs.each() if resource_id in {one.checkpoint_id for one in run.checkpoints}]
    _refuse(resource_id, "runs", runs)
    reviews = [review.id for review in store.reviews.each() if review.dataset_id == resource_id]
    _refuse(resource_id, "reviews", reviews)


def _refuse(resource_id: str, collection: str, holders: list[str], hint: str | None = None) -> None:
    if holders:
        raise ResourceInUse(
            f"{len(holders)} {collection} depend on {resource_id}, such as {holders[0]}.",
            hint=hint or f"Delete the {collection} first.",
            extra={collection: holders[:_NAMED], "count": len(holders)},
        )


def _holders(store: Store, records: WorkRecords[Any], resource_id: str) -> Iterator[str]:
    if records.kind.holds is None:
        return
    for record in records.each():
        if resource_id in record.sources and (records.kind.holds == "for ever" or _is_at_work(store, record.job_id)):
            yield record.id


def _is_at_work(store: Store, job_id: str) -> bool:
    return store.jobs.state(job_id) in ("queued", "running")
