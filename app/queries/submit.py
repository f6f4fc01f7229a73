"""Queries and previews: from a request to a short job."""

from app.checks.compatibility import check_fit, choose_loss
from app.checks.readiness import require_ready
from app.checks.test_points import check_row_indexes, check_test_points
from app.http.idempotency import Made
from app.queries.checkpoint_sum import resolve_checkpoints
from influence.contracts.common import now
from influence.contracts.preview import DEFAULT_PREVIEW_ROWS, Preview, PreviewRequest
from influence.contracts.query import Query, QueryRequest
from influence.digests import new_id
from influence.errors import InvalidRequest
from influence.methods.registry import find_offered
from influence.store.store import Store


def submit_query(store: Store, index_id: str, request: QueryRequest) -> Made:
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
    query_id, job_id = new_id("qry"), new_id("job")
    query = Query(
        id=query_id,
        index_id=index_id,
        job_id=job_id,
        state="queued",
        request=checked,
        method=request.method,
        checkpoints=checkpoints,
        notes=notes,
        created_at=now(),
    )
    store.jobs.create(job_id, "query", query_id, f"/v1/queries/{query_id}")
    store.queries.create(query)
    store.queue.submit("answer_query", query_id=query_id)
    return Made(query_id, job_id)


def submit_preview(store: Store, dataset_id: str, request: PreviewRequest) -> Made:
    """Put a preview on the queue. Raises NotFound, RowsRefused, InvalidRequest."""
    dataset = store.datasets.require(dataset_id)
    checkpoint = store.checkpoints.require(request.checkpoint_id)
    check_fit(checkpoint, dataset)
    rows = request.row_indexes or list(range(request.offset, min(request.offset + DEFAULT_PREVIEW_ROWS, dataset.rows)))
    check_row_indexes(rows or [request.offset], dataset)
    settled = request.model_copy(
        update={
            "row_indexes": rows,
            "offset": 0,
            "loss": choose_loss(checkpoint.task, dataset.kind, request.loss),
        }
    )
    preview_id, job_id = new_id("pre"), new_id("job")
    preview = Preview(
        id=preview_id,
        job_id=job_id,
        state="queued",
        dataset_id=dataset_id,
        checkpoint_id=request.checkpoint_id,
        request=settled,
        created_at=now(),
    )
    store.jobs.create(job_id, "preview", preview_id, f"/v1/previews/{preview_id}")
    store.previews.create(preview)
    store.queue.submit("preview_rows", preview_id=preview_id)
    return Made(preview_id, job_id)
