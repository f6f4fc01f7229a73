"""Copies that are not written with the record itself: of what was there before, and of decisions."""

import structlog

from influence.store.store import Store

log = structlog.get_logger()


def copy_records(store: Store) -> int:
    """Copy all records that have no copy, as those of an earlier version; answers how many.

    Raises FilesUnavailable, OSError, StoreErrors.
    """
    if store.files is None:
        return 0
    return sum(
        (
            store.datasets.copy_missing(),
            store.checkpoints.copy_missing(),
            store.runs.copy_missing(),
            store.indexes.copy_missing(),
            store.reviews.copy_missing(),
        )
    )


def copy_decisions(store: Store) -> int:
    """Copy the decisions of reviews where they changed; answers of how many. Raises as `copy_records` does."""
    copies = store.review_data.copies
    if copies is None:
        return 0
    changed = 0
    for review in store.reviews.each():
        try:
            changed += copies.write_changed(review.id)
        except ValueError as error:
            log.warning("decisions that cannot be read are not copied", review_id=review.id, error=str(error)[:200])
    return changed
