"""Queries: from a request to a short job."""

from typing import Any

from app.checks.class_numbers import doubt_selection
from app.checks.readiness import require_ready
from app.checks.test_points import check_test_points
from app.http.idempotency import Accepted
from app.queries.checkpoint_sum import resolve_checkpoints
from app.queries.level_request import check_levels
from app.queries.method_choice import resolve_method
from app.queries.token_request import check_tokens
from influence.contracts.index import Index
from influence.contracts.query import Query, QueryRequest
from influence.contracts.work import QUERY
from influence.errors import InvalidRequest
from influence.methods.base import Method
from influence.methods.baselines import Baseline
from influence.methods.registry import find_offered
from influence.rows.findings import list_names
from influence.rows.images.limits import ImageLimits
from influence.store.store import Store
from influence.store.work import accept

_NO_LOSS = (
    "The gradients of this index are of no loss ('measurement' or 'timestep_weighting'): scores rank rows, and say no "
    "change of a loss."
)


def submit_query(store: Store, index_id: str, request: QueryRequest, *, image_limits: ImageLimits) -> Accepted:
    """Check a query and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused,
    UploadRefused.
    """
    index = require_ready(store, index_id)
    is_sum = request.checkpoints is not None or request.run_id is not None
    request, reason = resolve_method(store, index, request, is_sum=is_sum)
    method = find_offered(request.method, index.spec)
    rows = index.rows if index.rows_indexed is None else index.rows_indexed
    if request.k > rows and "k" in request.model_fields_set:
        raise InvalidRequest(
            f"k is {request.k}, but the index has {rows} rows.", hint=f"Send k <= {rows}.", extra={"rows": rows}
        )
    _check_loss_asked(request, method)
    checkpoints = resolve_checkpoints(store, index, request)
    checked = check_test_points(store, index, request, image_limits)
    check_tokens(store, index, checked, method)
    check_levels(store, rows, checked, method)
    _check_compared(index, checked, method)
    notes = doubt_selection(store, index, checked.rows)
    if not index.spec.gradients.is_loss:
        notes += (_NO_LOSS,)
    if request.damping_scale is not None and method.default_damping_scale is None:
        notes += (f"Method '{request.method}' has no damping; damping_scale had no effect.",)
    if beside := sorted({name for example in checked.examples or () for name in example.get("metadata", {})}):
        notes += (f"The model does not read these fields of the examples: {list_names(beside)}.",)
    query = Query(
        **QUERY.begin(),
        index_id=index_id,
        request=checked,
        method=request.method,
        method_reason=reason,
        checkpoints=checkpoints,
        reduction=index.spec.gradients.reduction,
        notes=notes,
    )
    accept(store, query)
    return Accepted(query.id, query.job_id)


def _check_compared(index: Index, request: QueryRequest, method: Method[Any] | Baseline) -> None:
    """Raise InvalidRequest for a baseline beside itself, MethodNotOffered for one that the index does not offer."""
    for name in request.compare:
        if name == method.name:
            raise InvalidRequest(
                f"'compare' holds '{name}' against itself.", hint="Leave it out, or ask an influence method."
            )
        find_offered(name, index.spec)


def _check_loss_asked(request: QueryRequest, method: Method[Any] | Baseline) -> None:
    """Raise InvalidRequest where a baseline is asked about a loss: it compares texts and looks at none."""
    asked = {"target.span": request.span is not None, "against": request.against is not None}
    if method.is_baseline and (fields := [name for name, is_asked in asked.items() if is_asked]):
        raise InvalidRequest(
            f"'{fields[0]}' says where the loss falls, and baseline '{method.name}' has no loss.",
            hint="Leave it out, or ask an influence method.",
            extra={"field": fields[0]},
        )
