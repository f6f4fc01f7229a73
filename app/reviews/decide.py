"""Decisions about rows: one by one, many at once, and taken back."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from app.audits.rows import class_of, find_columns, sort_values
from app.reviews.labels import LabelWriter
from influence.auditing.selection import RowFilter, sort_slice
from influence.auditing.signals import Columns
from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.review import (
    BulkAnswer,
    BulkRequest,
    DecisionChange,
    DecisionsAnswer,
    DecisionsRequest,
    Review,
)
from influence.errors import Conflict, InvalidRequest
from influence.rows.file import RowFile
from influence.store.data.files import Files
from influence.store.store import Store

_SAMPLES = 5


def decide(store: Store, files: Files, review: Review, request: DecisionsRequest, known: int | None) -> DecisionsAnswer:
    """Apply decisions; rows decided by others since version `known` are conflicts.

    Raises InvalidRequest (no such row), LabelUnknown, LabelOutOfRange.
    """
    check_rows(review, [one.row_index for one in request.decisions])
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


def decide_many(store: Store, files: Files, review: Review, request: BulkRequest) -> BulkAnswer:
    """One action for many rows, or what it would do. Rows that have a decision are left alone unless told otherwise.

    Raises InvalidRequest, Conflict and NotFound (of the audit that chooses rows), LabelUnknown, LabelOutOfRange.
    """
    columns = None if request.row_indexes is not None and request.label_from is None else _columns(store, review)
    chosen = _choose_rows(store, review, request, columns)
    kept = set() if request.overwrite else store.review_data.decided(review.id)
    rows = [row for row in chosen if row not in kept]
    changes = _changes(store, files, review, request, rows, columns)
    version = store.review_data.version(review.id)
    per_class, samples = _describe(files, review, changes)
    if changes and not request.dry_run:
        _, version, _ = store.review_data.change(review.id, changes, by=request.by, known=None)
    return BulkAnswer(
        rows=len(changes),
        skipped=len(chosen) - len(changes),
        per_class=per_class,
        samples=samples,
        dry_run=request.dry_run,
        version=version,
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


def require_audit(store: Store, review: Review) -> Audit:
    """The audit that a review was made from. Raises InvalidRequest where there is none, NotFound where it is gone."""
    if review.audit_id is None:
        raise InvalidRequest(
            f"The review {review.id} has no audit to choose rows or labels from.",
            hint="Send 'row_indexes' and 'label', or make the review with 'audit_id'.",
        )
    return store.audits.require(review.audit_id)


def _columns(store: Store, review: Review) -> Columns:
    return find_columns(store, require_audit(store, review))


def _choose_rows(store: Store, review: Review, request: BulkRequest, columns: Columns | None) -> list[int]:
    if request.row_indexes is not None:
        check_rows(review, request.row_indexes)
        return list(dict.fromkeys(request.row_indexes))
    assert columns is not None
    audit = require_audit(store, review)
    wanted = request.filter
    conditions = RowFilter(
        label=class_of(audit, wanted.label) if wanted else None,
        predicted=class_of(audit, wanted.predicted) if wanted else None,
        disagree=wanted.disagree if wanted else None,
        min_suspicion=wanted.min_suspicion if wanted else None,
    )
    positions = conditions.find(columns)
    if request.top is not None:
        values = sort_values(request.sort, columns)
        positions = sort_slice(values, positions, descending=True, offset=0, length=request.top)
    return [int(row) for row in columns["row_index"][positions]]


def _changes(
    store: Store, files: Files, review: Review, request: BulkRequest, rows: Sequence[int], columns: Columns | None
) -> list[DecisionChange]:
    if request.action != "relabel":
        return [DecisionChange(row_index=row, action=request.action, note=request.note) for row in rows]
    writer = label_writer(store, files, review)
    if request.label is not None:
        label = writer.write(request.label)
        return [DecisionChange(row_index=row, action="relabel", label=label, note=request.note) for row in rows]
    assert columns is not None
    audit = require_audit(store, review)
    if "predicted" not in columns:
        raise InvalidRequest(
            f"The audit {audit.id} holds no predicted labels.", hint="Send 'label', or audit with signal 'predicted'."
        )
    position = {int(row): at for at, row in enumerate(columns["row_index"].tolist())}
    differs = np.asarray(columns["label"] != columns["predicted"])
    return [
        DecisionChange(
            row_index=row,
            action="relabel",
            label=writer.write(audit.spell(int(columns["predicted"][position[row]]))),
            note=request.note,
        )
        for row in rows
        if row in position and differs[position[row]]
    ]


def _describe(
    files: Files, review: Review, changes: Sequence[DecisionChange]
) -> tuple[dict[str, int] | None, tuple[Json, ...]]:
    """Rows by their present label, and a few of them with what is to become of them."""
    with RowFile(files.dataset(review.dataset_id)) as file:
        labels = Counter(str(row["label"]) for row in file.read_many(_rows_of(changes)) if "label" in row)
        shown = file.read_many(_rows_of(changes[:_SAMPLES]))
    samples = tuple(
        {"row_index": one.row_index, "row": row, "label": one.label}
        for one, row in zip(changes[:_SAMPLES], shown, strict=True)
    )
    return dict(labels.most_common()) or None, samples


def _rows_of(changes: Sequence[DecisionChange]) -> list[int]:
    return [one.row_index for one in changes]
