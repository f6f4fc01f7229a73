"""What changed between two indexes: their rows, how the same question ranks them, what audits of them say."""

from influence.contracts.common import Frozen, Json
from influence.contracts.dataset import LabelValue


class ChangedRow(Frozen):
    """A row that is in one data set only, or in both under another label; `to_row_index` is its place in the second."""

    row_index: int
    to_row_index: int | None = None
    row_id: str
    row: Json
    label: LabelValue | None = None
    to_label: LabelValue | None = None


class RowChanges(Frozen):
    """Rows by content, without ids and metadata. `removed`, `added` and `relabelled` show the first of each."""

    before: int
    after: int
    kept: int
    removed_count: int
    added_count: int
    relabelled_count: int
    removed: tuple[ChangedRow, ...] = ()
    added: tuple[ChangedRow, ...] = ()
    relabelled: tuple[ChangedRow, ...] = ()


class QueryChange(Frozen):
    """One question asked of both indexes: ranks of the rows that both have.

    `spearman` (-1 to 1) and `overlap` (share of the `k` most helpful and `k` most harmful rows that are the same) are
    means over test points; `loss` is the mean loss of the test points.
    """

    from_query_id: str
    to_query_id: str
    test_points: int
    rows: int
    k: int
    spearman: float
    overlap: float
    loss: float
    to_loss: float


class AuditSide(Frozen):
    """What one audit says. `top_disagreeing` of its `top` most suspicious rows carry another label than the model's
    answer; it is null where the audit has no answers."""

    audit_id: str
    rows: int
    accuracy: float | None = None
    mean_loss: float
    evaluation_loss: float | None = None
    top: int
    top_disagreeing: int | None = None


class AuditChange(Frozen):
    """Audits of both indexes by the same method. `spearman` is of suspicion over the rows that both have;
    `top_gone` of the first audit's top rows were removed or relabelled since. `same_evaluation` says whether the
    evaluation losses are of the same rows."""

    before: AuditSide
    after: AuditSide
    spearman: float | None
    top_gone: int
    same_evaluation: bool


class Comparison(Frozen):
    """`GET /v1/comparisons`. `queries` and `audits` are null where no finished pair is there; `notes` says why."""

    from_index_id: str
    to_index_id: str
    rows: RowChanges
    queries: QueryChange | None = None
    audits: AuditChange | None = None
    notes: tuple[str, ...] = ()
