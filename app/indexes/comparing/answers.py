"""The newest question and the newest audit that two indexes were both asked."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.audits.rows import find_columns
from app.http.context import Context
from app.indexes.comparing.rows import RowMatch
from app.queries.scores import find_scores
from influence.auditing.signals import Columns
from influence.contracts.audit import Audit
from influence.contracts.curation.comparison import AuditChange, AuditSide, QueryChange
from influence.contracts.query import Query
from influence.contracts.work_record import WorkRecord
from influence.errors import NotFound
from influence.evaluating.agreement import rank_correlations
from influence.ranking.order import lowest_rows, scores_of
from influence.store.records import WorkRecords
from influence.store.store import Store

TOP_ROWS = 50
_K = 10
Made = TypeVar("Made", bound=WorkRecord)


def compare_queries(store: Store, before: str, after: str, match: RowMatch) -> QueryChange | None:
    """The newest pair of finished queries with the same request; None without one, or where scores are gone."""
    pair = _newest_pair(store.queries, before, after, lambda one: (one.index_id, one.request.model_dump_json()))
    if pair is None or not len(match.kept):
        return None
    first, second = pair
    try:
        left = scores_of(find_scores(store, first)[:, match.kept[:, 0]])
        right = scores_of(find_scores(store, second)[:, match.kept[:, 1]])
    except NotFound:
        return None
    known = np.isfinite(left).all(axis=0) & np.isfinite(right).all(axis=0)
    left, right = left[:, known], right[:, known]
    if left.shape[1] < 2:
        return None
    k = min(_K, left.shape[1])
    return QueryChange(
        from_query_id=first.id,
        to_query_id=second.id,
        test_points=len(left),
        rows=left.shape[1],
        k=k,
        spearman=float(rank_correlations(left, right).mean()),
        overlap=float(np.mean([_overlap(*lines, k) for lines in zip(left, right, strict=True)])),
        loss=_mean_loss(first),
        to_loss=_mean_loss(second),
    )


def compare_audits(context: Context, before: str, after: str, match: RowMatch) -> AuditChange | None:
    """The newest pair of finished audits by the same method and signals; None without one, or where rows are gone."""

    def asked(audit: Audit) -> tuple[str, str]:
        return audit.index_id, f"{audit.method} {audit.damping_scale} {sorted(audit.signal_names)}"

    pair = _newest_pair(context.store.audits, before, after, asked)
    if pair is None:
        return None
    try:
        left, right = (find_columns(context, audit) for audit in pair)
    except NotFound:
        return None
    top = left["row_index"][lowest_rows(-left["suspicion"], min(TOP_ROWS, len(left["suspicion"])))]
    changed = np.concatenate([match.removed, match.relabelled[:, 0]])
    first, second = pair
    return AuditChange(
        before=_side(first, left),
        after=_side(second, right),
        spearman=_agreement(left, right, match),
        top_gone=int(np.isin(top, changed).sum()),
        same_evaluation=first.request.evaluation is not None and first.request.evaluation == second.request.evaluation,
    )


def _newest_pair(
    records: WorkRecords[Made], before: str, after: str, key: Callable[[Made], tuple[str, str]]
) -> tuple[Made, Made] | None:
    """The newest finished records of two indexes with the same second part of their key."""
    seen: tuple[dict[str, Made], dict[str, Made]] = ({}, {})
    for record in _finished(records.each()):
        index_id, asked = key(record)
        for place, wanted in enumerate((before, after)):
            if index_id == wanted:
                seen[place].setdefault(asked, record)
        if asked in seen[0] and asked in seen[1]:
            return seen[0][asked], seen[1][asked]
    return None


def _finished(records: Iterable[Made]) -> Iterator[Made]:
    return (record for record in records if record.state == "succeeded")


def _overlap(left: NDArray[np.floating], right: NDArray[np.floating], k: int) -> float:
    shares = [len(np.intersect1d(lowest_rows(sign * left, k), lowest_rows(sign * right, k))) / k for sign in (-1, 1)]
    return sum(shares) / 2


def _mean_loss(query: Query) -> float:
    return float(np.mean([one.loss for one in query.results or ()]))


def _side(audit: Audit, columns: Columns) -> AuditSide:
    top = lowest_rows(-columns["suspicion"], min(TOP_ROWS, len(columns["suspicion"])))
    disagreeing = None
    if "predicted" in columns:
        disagreeing = int(np.count_nonzero(columns["predicted"][top] != columns["label"][top]))
    return AuditSide(
        audit_id=audit.id,
        rows=len(columns["suspicion"]),
        accuracy=audit.accuracy,
        mean_loss=float(columns["loss"].mean(dtype=np.float64)),
        evaluation_loss=audit.evaluation_loss,
        top=len(top),
        top_disagreeing=disagreeing,
    )


def _agreement(left: Columns, right: Columns, match: RowMatch) -> float | None:
    """Spearman's correlation of suspicion over the rows that both audits have."""
    one = np.full(int(match.kept[:, 0].max(initial=-1)) + 1, np.nan)
    two = np.full(int(match.kept[:, 1].max(initial=-1)) + 1, np.nan)
    for held, columns in ((one, left), (two, right)):
        inside = columns["row_index"] < len(held)
        held[columns["row_index"][inside]] = columns["suspicion"][inside]
    pairs = np.stack([one[match.kept[:, 0]], two[match.kept[:, 1]]])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    return float(rank_correlations(pairs[:1], pairs[1:])[0]) if pairs.shape[1] > 1 else None
