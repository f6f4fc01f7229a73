"""Reviews as records: made, shown with their progress, renamed, deleted."""

from influence.contracts.common import now
from influence.contracts.curation.review import Review, ReviewProgress, ReviewRequest
from influence.digests import new_id
from influence.errors import Conflict, InvalidRequest
from influence.store.store import Store

#: Decisions that say that something was wrong with a row.
_HITS = ("relabel", "remove")


def create_review(store: Store, request: ReviewRequest) -> Review:
    """A new review. Raises NotFound, Conflict (the audit is not finished) and InvalidRequest (of other rows)."""
    dataset = store.datasets.require(request.dataset_id)
    if request.audit_id is not None:
        check_audit(store, request.audit_id, dataset.id)
    review = Review(
        id=new_id("rev"),
        dataset_id=dataset.id,
        audit_id=request.audit_id,
        name=request.name,
        rows=dataset.rows,
        created_at=now(),
    )
    store.reviews.create(review)
    return with_progress(store, review)


def check_audit(store: Store, audit_id: str, dataset_id: str) -> None:
    """Raise unless the audit is finished and of these rows."""
    audit = store.audits.require(audit_id)
    if audit.dataset_id != dataset_id:
        raise InvalidRequest(
            f"The audit {audit_id} is of the rows of {audit.dataset_id}, not of {dataset_id}.",
            hint=f"Send dataset_id '{audit.dataset_id}', or an audit of an index over {dataset_id}.",
            extra={"dataset_id": audit.dataset_id},
        )
    if audit.state != "succeeded":
        raise Conflict(
            f"The audit {audit_id} is not finished.",
            hint=f"Wait for the job {audit.job_id}.",
            extra={"job_id": audit.job_id, "state": audit.state},
        )


def with_progress(store: Store, review: Review) -> Review:
    """A review with its version and how far it is."""
    counts = store.review_data.counts(review.id)
    last = store.review_data.last_actions(review.id)
    progress = ReviewProgress(
        rows=review.rows,
        decided=sum(counts.values()),
        hit_rate=sum(action in _HITS for action in last) / len(last) if last else None,
        **counts,
    )
    return review.model_copy(update={"version": store.review_data.version(review.id), "progress": progress})


def delete_review(store: Store, review_id: str) -> None:
    """Remove record, decisions and history. Data sets that it made stay. Raises NotFound."""
    store.reviews.require_there(review_id)
    store.reviews.delete(review_id)
    store.review_data.delete(review_id)
