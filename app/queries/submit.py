"""Queries: from a request to a short job."""

from app.checks.readiness import require_ready
from app.checks.test_points import check_test_points
from app.http.idempotency import Accepted
from app.queries.checkpoint_sum import resolve_checkpoints
from influence.contracts.query import Query, QueryRequest
from influence.contracts.work import QUERY
from influence.errors import InvalidRequest
from influence.methods.registry import find_offered
from influence.store.store import Store
from influence.store.work import accept


def submit_query(store: Store, index_id: str, request: QueryRequest) -> Accepted:
    """Check a query and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused,
    UploadRefused.
    """
    index = require_ready(store, index_id)
    method = find_offered(request.method, index.spec)
    rows = index.rows if index.rows_indexed is None else index.rows_indexed
    if request.k > rows and "k" in request.model_fields_set:
        raise InvalidRequest(
            f"k is {request.k}, but the index has {rows} rows.", hint=f"Send k <= {rows}.", extra={"rows": rows}
        )
    checkpoints = resolve_checkpoints(store, index, request)
    checked = check_test_points(store, index, request)
    notes: tuple[str, ...] = ()
    if request.damping_scale is not None and method.default_damping_scale is None:
        notes = (f"Method '{request.method}' has no damping; damping_scale had no effect.",)
    query = Query(
        **QUERY.begin(),
        index_id=index_id,
        request=checked,
        method=request.method,
        checkpoints=checkpoints,
        reduction=index.spec.gradients.reduction,
        notes=notes,
    )
    accept(store, query)
    return Accepted(query.id, query.job_id)
