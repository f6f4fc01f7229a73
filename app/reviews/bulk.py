"""One action for many rows: said before it is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.audits.rows import check_sort, find_positions
from app.datasets.rows.selection import RowSet
from app.http.context import Context
from app.reviews.decide import check_rows, label_writer
from app.reviews.rows import QUEUE_SORT, actions_of, audit_set, dataset_set, require_audit
from influence.contracts.audit import Audit
from influence.contracts.common import Json
from influence.contracts.curation.review import (
    MAX_BULK_ROWS,
    BulkAnswer,
    BulkFilter,
    BulkRequest,
    DecisionChange,
    Review,
)
from influence.errors import InvalidRequest
from influence.rows.file import RowFile

_SAMPLES = 5
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Plan:
    """Rows that would change, and the label of each by its place among them, where there is one."""

    rows: Rows
    label_at: Callable[[int], int | str | None]


def decide_many(context: Context, review: Review, request: BulkRequest) -> BulkAnswer:
    """One action for many rows, or what it would do. Rows that have a decision are left alone unless told otherwise.

    Raises InvalidRequest, Conflict and NotFound (of the audit that chooses rows), LabelUnknown, LabelOutOfRange.
    """
    chosen = _choose_rows(context, review, request)
    plan = _plan(context, review, request, _undecided(context, review, request, chosen))
    data = context.store.review_data
    version = data.version(review.id)
    answer = BulkAnswer(
        rows=len(plan.rows),
        skipped=len(chosen) - len(plan.rows),
        per_class=_per_class(context, review, plan.rows),
        samples=_samples(context, review, plan),
        dry_run=request.dry_run,
        version=version,
    )
    if request.dry_run or not len(plan.rows):
        return answer
    _, version, _ = data.change(review.id, _changes(request, plan), by=request.by, known=None)
    return answer.model_copy(update={"version": version})


def _choose_rows(context: Context, review: Review, request: BulkRequest) -> Rows:
    if request.row_indexes is not None:
        check_rows(review, request.row_indexes)
        return np.asarray(list(dict.fromkeys(request.row_indexes)), dtype=np.int64)
    asked = request.filter or BulkFilter()
    if review.audit_id is None:
        rows, positions = _in_dataset(context, review, request, asked)
    else:
        audit, rows = audit_set(context, review, actions_of(context, review))
        check_sort(audit, request.sort)
        positions = find_positions(audit, rows, asked, asked)
    if request.top is not None:
        sort = None if review.audit_id is None and request.sort == QUEUE_SORT else request.sort
        positions = rows.page(positions, sort, descending=sort is not None, offset=0, length=request.top)
    return rows.row_indexes[positions]


def _in_dataset(context: Context, review: Review, request: BulkRequest, asked: BulkFilter) -> tuple[RowSet, Rows]:
    if asked.asks_audit or (request.top is not None and not asked.asks and request.sort == QUEUE_SORT):
        require_audit(context.store, review)
    rows = dataset_set(context, review, actions_of(context, review))
    return rows, rows.find(asked)


def _undecided(context: Context, review: Review, request: BulkRequest, chosen: Rows) -> Rows:
    kept = [] if request.overwrite else list(context.store.review_data.decided(review.id))
    return chosen[np.isin(chosen, kept, invert=True)] if kept else chosen


def _plan(context: Context, review: Review, request: BulkRequest, rows: Rows) -> _Plan:
    if request.action != "relabel":
        return _Plan(rows, lambda _: None)
    writer = label_writer(context.store, context.files, review)
    if request.label is not None:
        label = writer.write(request.label)
        return _Plan(rows, lambda _: label)
    audit, audited = audit_set(context, review)
    if "predicted" not in audited.figures:
        raise InvalidRequest(
            f"The audit {audit.id} holds no predicted labels.", hint="Send 'label', or audit with signal 'predicted'."
        )
    rows, predicted = _answered_otherwise(audit, audited, rows)
    return _Plan(rows, lambda at: writer.write(audit.spell(int(predicted[at]))))


def _answered_otherwise(audit: Audit, audited: RowSet, rows: Rows) -> tuple[Rows, NDArray[Any]]:
    """Those of some rows that the model answers otherwise than they are labelled, and what it answers."""
    place = np.full(audit.rows, -1, dtype=np.int64)
    place[audited.row_indexes] = np.arange(len(audited.row_indexes))
    places = place[rows]
    rows, places = rows[places >= 0], places[places >= 0]
    predicted = audited.figures["predicted"][places]
    differs = predicted != audited.figures["label"][places]
    return rows[differs], predicted[differs]


def _changes(request: BulkRequest, plan: _Plan) -> Sequence[DecisionChange]:
    if len(plan.rows) > MAX_BULK_ROWS:
        raise InvalidRequest(
            f"{len(plan.rows)} rows would change at once.",
            hint=f"Change at most {MAX_BULK_ROWS} a call: narrow 'filter', or send 'top'.",
        )
    return [
        DecisionChange(row_index=int(row), action=request.action, label=plan.label_at(at), note=request.note)
        for at, row in enumerate(plan.rows)
    ]


def _per_class(context: Context, review: Review, rows: Rows) -> dict[str, int] | None:
    """Rows by their present label."""
    if not len(rows):
        return None
    return context.tables.open(context.store.datasets.require(review.dataset_id)).count_values("label", rows)


def _samples(context: Context, review: Review, plan: _Plan) -> tuple[Json, ...]:
    """A few of the rows, with what is to become of them."""
    with RowFile(context.files.dataset(review.dataset_id)) as file:
        shown = file.read_many(plan.rows[:_SAMPLES])
    return tuple(
        {"row_index": int(index), "row": row, "label": plan.label_at(at)}
        for at, (index, row) in enumerate(zip(plan.rows, shown, strict=False))
    )
