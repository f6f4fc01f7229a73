"""Previews: from a request to a short job."""

from app.checks.compatibility import check_compatible, check_reduction, choose_length, choose_loss
from app.checks.test_points import check_row_indexes
from app.http.idempotency import Accepted
from influence.contracts.preview import DEFAULT_PREVIEW_ROWS, Preview, PreviewRequest
from influence.contracts.work import PREVIEW
from influence.store.store import Store
from influence.store.work import accept


def submit_preview(store: Store, dataset_id: str, request: PreviewRequest) -> Accepted:
    """Put a preview on the queue. Raises NotFound, RowsRefused, InvalidRequest."""
    dataset = store.datasets.require(dataset_id)
    checkpoint = store.checkpoints.require(request.checkpoint_id)
    check_compatible(checkpoint, dataset)
    check_reduction(checkpoint.task, dataset, request.reduction)
    rows = request.row_indexes or list(range(request.offset, min(request.offset + DEFAULT_PREVIEW_ROWS, dataset.rows)))
    check_row_indexes(rows or [request.offset], dataset)
    settled = request.model_copy(
        update={
            "row_indexes": rows,
            "offset": 0,
            "max_length": choose_length(checkpoint, request.max_length),
            "loss": choose_loss(checkpoint, dataset, request.loss, checkpoint.training),
        }
    )
    preview = Preview(**PREVIEW.begin(), dataset_id=dataset_id, checkpoint_id=request.checkpoint_id, request=settled)
    accept(store, preview)
    return Accepted(preview.id, preview.job_id)
