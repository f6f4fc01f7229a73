"""Groups: from a request to a job."""

from app.checks.class_numbers import doubt_selection
from app.checks.readiness import require_ready
from app.checks.test_points import check_selection
from app.http.idempotency import Accepted
from app.queries.method_choice import resolve_method
from influence.contracts.curation.conditions import METADATA_PREFIX
from influence.contracts.curation.groups import ALL, MAX_EVALUATION_ROWS, PREDICTED, Groups, GroupsRequest
from influence.contracts.dataset import ROW_FORMS, Dataset
from influence.contracts.tasks import TASKS
from influence.contracts.work import GROUPS
from influence.errors import Conflict, InvalidRequest
from influence.methods.registry import get_offered
from influence.store.class_names import checkpoint_of
from influence.store.store import Store
from influence.store.work import accept


def submit_groups(store: Store, index_id: str, request: GroupsRequest) -> Accepted:
    """Check a request and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused, Conflict
    (an audit that is not finished).
    """
    index = require_ready(store, index_id)
    request, reason = resolve_method(store, index, request)
    method = get_offered(request.method, index.spec)
    dataset = store.datasets.require(index.spec.dataset_id)
    checkpoint = checkpoint_of(store, index)
    check_column(dataset, request.by, has_classes=TASKS[checkpoint.task].has_classes)
    check_selection(store, request.evaluation, dataset, checkpoint, most=MAX_EVALUATION_ROWS, what="evaluation rows")
    record = Groups(
        **GROUPS.begin(),
        index_id=index_id,
        request=request,
        method=method.name,
        method_reason=reason,
        audit_id=_find_audit(store, index_id, request.audit_id),
        rows=index.rows,
        notes=doubt_selection(store, index, request.evaluation),
    )
    accept(store, record)
    return Accepted(record.id, record.job_id)


def _find_audit(store: Store, index_id: str, asked: str | None) -> str | None:
    """The audit whose suspicion is told: the one that is asked for, or the newest finished one of the index, if any."""
    if asked is None:
        found = (one.id for one in store.audits.each() if (one.index_id, one.state) == (index_id, "succeeded"))
        return next(found, None)
    audit = store.audits.require(asked)
    if audit.index_id != index_id:
        raise InvalidRequest(
            f"The audit {asked} is of the index {audit.index_id}.", hint=f"Name an audit of {index_id}, or none."
        )
    if audit.state != "succeeded":
        raise Conflict(
            f"The audit {asked} is not finished.",
            hint=f"Wait for the job {audit.job_id}.",
            extra={"job_id": audit.job_id, "state": audit.state},
        )
    return audit.id


def check_column(dataset: Dataset, by: str, *, has_classes: bool) -> None:
    """Raise InvalidRequest for a column that rows cannot be grouped by."""
    own = ["label"] if ROW_FORMS[dataset.kind].label is not None else []
    own += [PREDICTED] if has_classes else []
    if by in (*own, ALL) or by.removeprefix(METADATA_PREFIX) in dataset.metadata_columns:
        return
    offered = [*own, *dataset.metadata_columns, ALL]
    raise InvalidRequest(
        f"The data set {dataset.id} has no column '{by[:80]}' to group by.",
        hint=f"Group by one of {', '.join(offered)}.",
        extra={"columns": offered},
    )
