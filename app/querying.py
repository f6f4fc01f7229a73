"""Queries and previews: from a request to a short job, and what a record and its job say together."""

from typing import Any, TypeVar

from app.fitness import check_fit, choose_loss
from app.idempotency import Made
from app.indexing import present_index
from app.waiting import retry_after_seconds
from influence.contracts.audit import Audit
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index
from influence.contracts.job import FINAL_STATES
from influence.contracts.preview import DEFAULT_PREVIEW_ROWS, Preview, PreviewRequest
from influence.contracts.query import MAX_TEST_POINTS, Query, QueryRequest, RowSelection
from influence.digests import new_id
from influence.errors import (
    IndexFailed,
    IndexNotReady,
    InvalidRequest,
    LabelOutOfRange,
    LabelUnknown,
    NoWorker,
    RowsUnfit,
)
from influence.methods.registry import find_method
from influence.rows.normalise import normalise_examples
from influence.store.store import Store

Work = TypeVar("Work", Query, Preview, Audit)


def require_worker(store: Store) -> None:
    """Raise NoWorker: waiting would be in vain."""
    if not store.workers.alive():
        raise NoWorker("No worker has been heard of lately, so that the answer would not come.")


def submit_query(store: Store, index_id: str, request: QueryRequest) -> Made:
    """Check a query and put it on the queue.

    Raises NotFound, IndexNotReady, IndexFailed, UnknownMethod, MethodNotOffered, InvalidRequest, RowsRefused,
    UploadRefused.
    """
    index = require_ready(store, index_id)
    method = find_method(request.method, index.spec.storage)
    rows = index.rows if index.rows_indexed is None else index.rows_indexed
    if request.k > rows and "k" in request.model_fields_set:
        raise InvalidRequest(
            f"k is {request.k}, but the index has {rows} rows.", hint=f"Send k <= {rows}.", extra={"rows": rows}
        )
    checked = _check_test_points(store, index, request)
    notes: tuple[str, ...] = ()
    if request.damping_scale is not None and method.default_damping_scale is None:
        notes = (f"Method '{request.method}' has no damping; damping_scale had no effect.",)
    query_id, job_id = new_id("qry"), new_id("job")
    query = Query(
        id=query_id, index_id=index_id, job_id=job_id, state="queued", request=checked, method=request.method,
        notes=notes, created_at=now(),
    )  # fmt: skip
    store.jobs.create(job_id, "query", query_id, f"/v1/queries/{query_id}")
    store.queries.create(query)
    store.queue.submit("answer_query", query_id=query_id)
    return Made(query_id, job_id)


def require_ready(store: Store, index_id: str) -> Index:
    """An index that can be queried. Raises NotFound, IndexNotReady with the progress, IndexFailed with the cause."""
    index = present_index(store, store.indexes.require(index_id))
    if index.state in ("failed", "cancelled"):
        raise IndexFailed(
            f"The index {index_id} has {index.state}.", extra={"error": index.error, "job_id": index.job_id}
        )
    if index.state != "succeeded":
        progress = None if index.progress is None else index.progress.model_dump(mode="json")
        raise IndexNotReady(
            f"The index {index_id} is {index.state}.",
            hint=f"Wait for the job {index.job_id}, then ask again.",
            extra={
                "job_id": index.job_id, "state": index.state, "progress": progress,
                "retry_after_seconds": retry_after_seconds(store.jobs.find(index.job_id)),
            },
        )  # fmt: skip
    return index


def _check_test_points(store: Store, index: Index, request: QueryRequest) -> QueryRequest:
    """The request with its examples in normal form."""
    dataset = store.datasets.require(index.spec.dataset_id)
    checkpoint = store.checkpoints.require(index.spec.checkpoint_id)
    if request.rows is not None:
        check_selection(store, request.rows, dataset, checkpoint, most=MAX_TEST_POINTS, what="test points")
        return request
    examples = normalise_examples(
        request.examples or [], dataset.kind, dataset.columns, label_names=checkpoint.label_names
    )
    if dataset.kind == "classification":
        _check_example_labels(examples, checkpoint, needs_label=request.target == "label")
    return request.model_copy(update={"examples": examples})


def _check_example_labels(examples: list[dict[str, Any]], checkpoint: Checkpoint, *, needs_label: bool) -> None:
    for number, example in enumerate(examples):
        label = example["label"]
        if label is None and needs_label:
            raise InvalidRequest(
                f"Example {number} has no label.",
                hint="Give every example its label, or ask with target 'prediction'.",
                extra={"example_index": number},
            )
        if isinstance(label, str) and checkpoint.label_names is None:
            raise LabelUnknown(
                f"Example {number} has the label {label[:80]!r}, but the checkpoint's labels have no names.",
                hint="Give class numbers, or send the checkpoint again with 'label_names'.",
                extra={"example_index": number},
            )
        if isinstance(label, int) and checkpoint.num_labels is not None and label >= checkpoint.num_labels:
            raise LabelOutOfRange(
                f"Example {number} has the label {label}, the head has {checkpoint.num_labels} classes.",
                hint=f"Use labels 0 to {checkpoint.num_labels - 1}.",
                extra={"example_index": number, "num_labels": checkpoint.num_labels},
            )


def check_selection(
    store: Store, selection: RowSelection, indexed: Dataset, checkpoint: Checkpoint, *, most: int, what: str
) -> None:
    """Raise NotFound, RowsRefused or InvalidRequest for rows that cannot be scored, or that are more than `most`."""
    dataset = store.datasets.require(selection.dataset_id)
    if dataset.kind != indexed.kind:
        raise RowsUnfit(
            f"The rows of {dataset.id} are of kind '{dataset.kind}', those of the index '{indexed.kind}'.",
            hint=f"Name a data set of kind '{indexed.kind}'.",
        )
    check_fit(checkpoint, dataset)
    check_row_indexes(selection.row_indexes, dataset)
    count = dataset.rows if selection.row_indexes is None else len(selection.row_indexes)
    if not 1 <= count <= most:
        name = what.replace(" ", "_")
        raise InvalidRequest(
            f"The request has {count:,} {what}; from 1 to {most:,} are taken.",
            hint="Name fewer rows in 'row_indexes', in several requests if need be.",
            extra={name: count, f"max_{name}": most},
        )


def check_row_indexes(row_indexes: list[int] | None, dataset: Dataset) -> None:
    """Raise InvalidRequest for an index that the data set does not have."""
    outside = [row for row in row_indexes or () if not 0 <= row < dataset.rows]
    if outside:
        raise InvalidRequest(
            f"There is no row {outside[0]} in {dataset.id}.",
            hint=f"Rows go from 0 to {dataset.rows - 1}.",
            extra={"row_indexes": outside[:20], "rows": dataset.rows},
        )


def submit_preview(store: Store, dataset_id: str, request: PreviewRequest) -> Made:
    """Put a preview on the queue. Raises NotFound, RowsRefused, InvalidRequest."""
    dataset = store.datasets.require(dataset_id)
    check_fit(store.checkpoints.require(request.checkpoint_id), dataset)
    rows = request.row_indexes or list(range(request.offset, min(request.offset + DEFAULT_PREVIEW_ROWS, dataset.rows)))
    check_row_indexes(rows or [request.offset], dataset)
    settled = request.model_copy(
        update={"row_indexes": rows, "offset": 0, "loss": choose_loss(dataset.kind, request.loss)}
    )
    preview_id, job_id = new_id("pre"), new_id("job")
    preview = Preview(
        id=preview_id, job_id=job_id, state="queued", dataset_id=dataset_id, checkpoint_id=request.checkpoint_id,
        request=settled, created_at=now(),
    )  # fmt: skip
    store.jobs.create(job_id, "preview", preview_id, f"/v1/previews/{preview_id}")
    store.previews.create(preview)
    store.queue.submit("preview_rows", preview_id=preview_id)
    return Made(preview_id, job_id)


def present_work(store: Store, work: Work) -> Work:
    """The record with its job's state while it is not final."""
    if work.state in FINAL_STATES:
        return work
    job = store.jobs.find(work.job_id)
    if job is None or job.state == "succeeded":
        return work
    return work.model_copy(update={"state": job.state, "error": work.error or job.error})
