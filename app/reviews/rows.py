"""The rows of a review: the queue that somebody works through, and what was decided of each."""

import numpy as np

from app.audits.rows import AuditFilter, audit_rows, describe_rows, find_columns, find_positions
from app.datasets.rows.page import read_rows
from app.datasets.rows.parameters import SearchParameters
from app.datasets.rows.selection import ACTION, RowSet
from app.http.context import Context
from app.http.pagination import Bounds
from influence.auditing.figures import is_figure
from influence.auditing.signals import Columns
from influence.contracts.audit import Audit, AuditedRow
from influence.contracts.common import Json
from influence.contracts.curation.conditions import RowSearch
from influence.contracts.curation.review import Review, ReviewedRow, ReviewedRowPage
from influence.errors import InvalidRequest
from influence.store.data.search.ordering import Positions
from influence.store.store import Store

#: What the rows of an audit are ordered by where nothing else is said.
QUEUE_SORT = "suspicion"
#: Names that mean the rows' own, with an audit or without.
_OF_ALL_ROWS = frozenset({"label", "row_index"})


class QueueParameters(SearchParameters, AuditFilter):
    """A page of the rows that fit, by the figures of the review's audit, too."""


def require_audit(store: Store, review: Review) -> Audit:
    """The audit that a review was made from. Raises InvalidRequest where there is none, NotFound where it is gone."""
    if review.audit_id is None:
        raise InvalidRequest(
            f"The review {review.id} has no audit to choose rows or labels from.",
            hint="Send 'row_indexes' and 'label', or make the review with 'audit_id'.",
        )
    return store.audits.require(review.audit_id)


def actions_of(context: Context, review: Review) -> dict[int, str]:
    """What was decided, by row."""
    return {one.row_index: one.action for one in context.store.review_data.scan(review.id)}


def audit_set(context: Context, review: Review, actions: dict[int, str] | None = None) -> tuple[Audit, RowSet]:
    """The rows of a review's audit. Raises InvalidRequest, Conflict and NotFound."""
    audit = require_audit(context.store, review)
    return audit, audit_rows(context, audit, find_columns(context, audit), actions)


def dataset_set(context: Context, review: Review, actions: dict[int, str] | None = None) -> RowSet:
    """All rows of a review. Raises NotFound."""
    dataset = context.store.datasets.require(review.dataset_id)
    return RowSet(dataset, lambda: context.tables.open(dataset), actions=actions)


def find_rows(context: Context, review: Review, search: RowSearch) -> Positions:
    """Indexes of the review's rows that fit, ascending. Rows that the audit left out fit no condition on its figures.

    Raises InvalidRequest, Conflict and NotFound.
    """
    actions = actions_of(context, review)
    rows = dataset_set(context, review, actions)
    if review.audit_id is not None and any(one.column not in _OF_ALL_ROWS for one in search.where or ()):
        _, audited = audit_set(context, review, actions)
        if any(_needs(audited.figures, one.column) for one in search.where or ()):
            rows = audited
    return rows.row_indexes[rows.find(search)]


def _needs(figures: Columns, column: str) -> bool:
    return column not in _OF_ALL_ROWS and is_figure(column, figures)


def read_queue(context: Context, review: Review, parameters: QueueParameters, bounds: Bounds) -> ReviewedRowPage:
    """One page of the rows of the review's audit, else of its data set, each with its decision.

    Raises InvalidRequest, Conflict and NotFound.
    """
    search = parameters.search
    # All that was ever decided is read for a condition on it alone: it may be of as many rows as there are.
    is_asked = any(one.column == ACTION for one in search.where or ())
    actions = actions_of(context, review) if is_asked else {}
    audit, rows = (
        (None, dataset_set(context, review, actions))
        if review.audit_id is None and not parameters.asks_audit
        else audit_set(context, review, actions)
    )
    sort = parameters.sort or (QUEUE_SORT if audit is not None else None)
    is_falling = sort is not None and is_figure(sort, rows.figures)
    descending = is_falling if parameters.order is None else parameters.order == "desc"
    positions = rows.find(search) if audit is None else find_positions(audit, rows, parameters, search)
    shown = rows.page(positions, sort, descending=descending, offset=bounds.offset, length=bounds.length)
    described = _described(context, review, shown) if audit is None else _audited(context, audit, rows, shown)
    decisions = context.store.review_data.find(review.id, [one["row_index"] for one in described])
    data = [ReviewedRow(**one, decision=decisions.get(one["row_index"])) for one in described]
    version = context.store.review_data.version(review.id)
    return ReviewedRowPage(data=data, **bounds.beyond(len(data), len(positions)), rows=len(positions), version=version)


def _described(context: Context, review: Review, shown: Positions) -> list[Json]:
    return [row.model_dump() for row in read_rows(context, review.dataset_id, shown)]


def _audited(context: Context, audit: Audit, rows: RowSet, shown: Positions) -> list[Json]:
    described = []
    for fields in describe_rows(context.files, audit, rows.figures, np.asarray(shown)):
        whole = AuditedRow(**fields).model_dump()
        own = {name: whole.pop(name) for name in ("row_index", "row_id", "row", "metadata")}
        described.append({**own, "figures": whole})
    return described
