"""Decisions about rows, one by one, and taken back."""

from collections.abc import Sequence

from app.reviews.labels import LabelWriter
from influence.contracts.curation.review import DecisionsAnswer, DecisionsRequest, Review
from influence.errors import Conflict, InvalidRequest
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store


def decide(store: Store, files: Files, review: Review, request: DecisionsRequest, known: int | None) -> DecisionsAnswer:
    """Apply decisions; rows decided by others since version `known` are conflicts.

    Raises InvalidRequest (no such row, no such version yet), LabelUnknown, LabelOutOfRange.
    """
    check_rows(review, [one.row_index for one in request.decisions])
    _check_version(store, review, known)
    writer = label_writer(store, files, review)
    changes = [
        one if one.label is None else one.model_copy(update={"label": writer.write(one.label)})
        for one in request.decisions
    ]
    applied, version, conflicts = store.review_data.change(review.id, changes, by=request.by, known=known)
    return DecisionsAnswer(applied=applied, version=version, conflicts=tuple(conflicts))


def undo(store: Store, review: Review, by: str | None) -> DecisionsAnswer:
    """Take the last change back. Raises Conflict where there is none."""
    done = store.review_data.undo(review.id, by)
    if done is None:
        whose = f" of {by}" if by else ""
        raise Conflict(f"There is no change{whose} to take back.", hint="GET /history shows what was changed.")
    applied, version, conflicts = done
    return DecisionsAnswer(applied=applied, version=version, conflicts=tuple(conflicts))


def _check_version(store: Store, review: Review, known: int | None) -> None:
    """Raise InvalidRequest for a version that is still to come: nothing decided until then would be a conflict."""
    if known is not None and known > (newest := store.review_data.version(review.id)):
        raise InvalidRequest(
            f"If-Match is version {known}, and the newest of {review.id} is {newest}.",
            hint="Read the decisions and send the version that they came with.",
            extra={"version": newest},
        )


def check_rows(review: Review, rows: Sequence[int]) -> None:
    """Raise InvalidRequest for a row that the data set does not have."""
    foreign = [row for row in rows if not 0 <= row < review.rows]
    if foreign:
        raise InvalidRequest(
            f"There is no row {foreign[0]}.",
            hint=f"Rows of {review.dataset_id} go from 0 to {review.rows - 1}.",
            extra={"row_indexes": foreign[:20], "rows": review.rows},
        )


def label_writer(store: Store, files: Files, review: Review) -> LabelWriter:
    """Who writes labels as the review's rows have them: all are class numbers, or all are names. Raises NotFound."""
    with RowFile(files.dataset(review.dataset_id)) as file:
        is_numbered = isinstance(file.read(0, 1)[0].get("label"), int)
    audit = store.audits.find(review.audit_id) if review.audit_id else None
    return LabelWriter(
        store.datasets.require(review.dataset_id), audit.label_names if audit else None, is_numbered=is_numbered
    )
