"""Indexes: from a request to a build, and what a record and its job say together."""

from app.checks.compatibility import check_fit, choose_loss
from app.http.idempotency import Made
from app.indexes.growth import check_growth
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.contracts.index import GradientSettings, Index, IndexRequest, IndexSpec, Storage
from influence.contracts.job import FINAL_STATES, Job
from influence.digests import digest_json, new_id
from influence.errors import DoesNotFit, EmptyFile, InvalidRequest
from influence.store.store import Store


def submit_index(store: Store, request: IndexRequest, *, budget_bytes: int) -> Made:
    """The index of a request: the one that exists, or a new build.

    Raises NotFound, RowsRefused, InvalidRequest, DoesNotFit, IndexNotReady or IndexFailed (the one to grow from).
    """
    checkpoint = store.checkpoints.require(request.checkpoint_id)
    dataset = store.datasets.require(request.dataset_id)
    if dataset.rows == 0:
        raise EmptyFile(f"The data set {dataset.id} holds no rows.", hint="Send a data set with rows.")
    check_fit(checkpoint, dataset)
    spec = resolve_spec(request, checkpoint, dataset, budget_bytes=budget_bytes)
    index_id = index_address(spec)
    existing = store.indexes.find(index_id)
    if existing is not None and not _is_dead(store, existing):
        return Made(index_id, existing.job_id, is_new=False)
    if spec.grow_from is not None:
        check_growth(store, spec, spec.grow_from)
    return _start_build(store, index_id, spec, dataset, is_known=existing is not None)


def index_address(spec: IndexSpec) -> str:
    """Equal requests, equal id."""
    return f"idx_{digest_json(spec.model_dump(mode='json'))}"


def resolve_spec(request: IndexRequest, checkpoint: Checkpoint, dataset: Dataset, *, budget_bytes: int) -> IndexSpec:
    """Decide all that the request left open; fields that have no effect take one value, so that they cannot differ."""
    storage = choose_storage(request, checkpoint, dataset, budget_bytes)
    if request.kronecker and storage != "full":
        raise InvalidRequest(
            f"Kronecker factors are kept with full storage only, and this index would be {storage}.",
            hint="Send storage 'full' where it fits, or leave 'kronecker' out and ask method 'exact'.",
        )
    gradients = GradientSettings(
        precision=request.precision,
        max_length=request.max_length,
        on_too_long=request.on_too_long,
        loss=choose_loss(checkpoint.task, dataset.kind, request.loss),
        include_bias=request.include_bias,
    )
    return IndexSpec(
        checkpoint_id=checkpoint.id,
        dataset_id=dataset.id,
        storage=storage,
        on_non_finite=request.on_non_finite,
        storage_dtype=request.storage_dtype if storage == "full" else "float32",
        rank=request.rank if storage == "compact" and request.grow_from is None else None,
        code_dtype=request.code_dtype if storage == "compact" and request.grow_from is None else "int8",
        kronecker=request.kronecker,
        grow_from=request.grow_from,
        gradients=gradients,
    )


def choose_storage(request: IndexRequest, checkpoint: Checkpoint, dataset: Dataset, budget_bytes: int) -> Storage:
    """Full while the gradients fit the budget. Raises DoesNotFit when full is asked for and does not."""
    if request.grow_from is not None:
        return _choose_grown(request)
    if request.storage == "compact":
        return "compact"
    if checkpoint.parameters is None:  # only the worker that loads the model can tell, and refuses what does not fit
        return "full" if request.storage == "full" else "compact"
    itemsize = 4 if request.storage_dtype == "float32" else 2
    needed = dataset.rows * checkpoint.parameters * itemsize
    if needed <= budget_bytes:
        return "full"
    if request.storage == "auto":
        return "compact"
    raise DoesNotFit(
        f"Full gradients of {dataset.rows:,} rows with {checkpoint.parameters:,} parameters take {needed:,} bytes, "
        f"more than the {budget_bytes:,} that an index may take.",
        extra={
            "needed_bytes": needed,
            "budget_bytes": budget_bytes,
            "rows": dataset.rows,
            "parameters": checkpoint.parameters,
        },
    )


def _choose_grown(request: IndexRequest) -> Storage:
    if request.storage == "full":
        raise InvalidRequest(
            "Only compact indexes grow: full storage has no basis to keep.",
            hint="Leave 'storage' out, or build the index without 'grow_from'.",
        )
    return "compact"


def _start_build(store: Store, index_id: str, spec: IndexSpec, dataset: Dataset, *, is_known: bool) -> Made:
    # The job comes first: a record without a job would look like a build for ever, a job without a record harms no one.
    job = store.jobs.create(new_id("job"), "index", index_id, f"/v1/indexes/{index_id}")
    fresh = Index(id=index_id, job_id=job.id, state="queued", spec=spec, rows=dataset.rows, created_at=now())
    if is_known or not store.indexes.create(fresh):
        winner = store.indexes.update(index_id, lambda current: _revive(store, current, job))
        if winner.job_id != job.id:
            store.jobs.delete(job.id)
            return Made(index_id, winner.job_id, is_new=False)
    store.queue.submit("plan_index", index_id=index_id)
    return Made(index_id, job.id)


def _revive(store: Store, current: Index, job: Job) -> Index:
    """A dead build under a new job, unless another request was faster. Shards that are committed stay."""
    if not _is_dead(store, current):
        return current
    return current.model_copy(update={"state": "queued", "job_id": job.id, "error": None})


def _is_dead(store: Store, index: Index) -> bool:
    if index.state == "succeeded":
        return False
    job_state = store.jobs.state(index.job_id)
    return index.state in FINAL_STATES or job_state in (None, "failed", "cancelled")


def delete_index(store: Store, index_id: str) -> None:
    """Stop the build if there is one and remove everything of the index. Raises NotFound."""
    index = store.indexes.require(index_id)
    store.jobs.cancel(index.job_id)
    erase_index(store, index_id)


def erase_index(store: Store, index_id: str) -> None:
    """Remove data, then record: the other way round, a new build of the same id could lose its first shards.

    Then tell the workers, whose memory it leaves at once.
    """
    store.index_data.delete(index_id)
    store.indexes.delete(index_id)
    store.deletions.announce(index_id)
