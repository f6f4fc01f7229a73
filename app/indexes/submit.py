"""Indexes: from a request to a build."""

from app.checks.class_numbers import doubt_indexed_numbers
from app.checks.compatibility import check_compatible, check_reduction, choose_length, choose_loss
from app.checks.diffusion import choose_diffusion
from app.checks.training import find_differences, find_metric_doubts, find_open_choices
from app.http.idempotency import Accepted
from app.http.listing import name_made
from app.indexes.growth import check_growth
from app.indexes.joining import join_checkpoints
from app.indexes.storage import choose_storage
from influence.contracts.checkpoint import Checkpoint
from influence.contracts.common import Json
from influence.contracts.dataset import Dataset
from influence.contracts.index import (
    DEFAULT_BETA,
    GradientParts,
    GradientSettings,
    Index,
    IndexRequest,
    IndexSpec,
    JoinedCheckpoint,
)
from influence.contracts.tasks import TASKS
from influence.contracts.work import INDEX
from influence.digests import digest_json
from influence.errors import EmptyFile, InvalidRequest
from influence.store.store import Store
from influence.store.work import accept, is_dead

_LATER_SETTINGS = {
    "parts": "all",
    "reduction": "mean",
    "beta": None,
    "center_rewards_coefficient": None,
    "diffusion": None,
}
_LATER_FIELDS: Json = {"metric": "gradient", "batch_rows": 1, "joined": []}


def submit_index(store: Store, request: IndexRequest, *, budget_bytes: int) -> Accepted:
    """The index of a request: the one that exists, or a new build.

    Raises NotFound, RowsRefused, InvalidRequest, DoesNotFit, IndexNotReady or IndexFailed (the one to grow from).
    """
    if request.run_id is None:
        return _submit_one(store, request, (), budget_bytes)
    if not request.join:
        return _submit_run(store, request, request.run_id, budget_bytes)
    joined = join_checkpoints(store, request, request.run_id)
    last = {"checkpoint_id": joined[-1].checkpoint_id, "run_id": None, "storage": "compact"}
    return _submit_one(store, request.model_copy(update=last), joined, budget_bytes)


def _submit_one(
    store: Store, request: IndexRequest, joined: tuple[JoinedCheckpoint, ...], budget_bytes: int
) -> Accepted:
    assert request.checkpoint_id is not None
    checkpoint = store.checkpoints.require(request.checkpoint_id)
    dataset = store.datasets.require(request.dataset_id)
    if dataset.rows == 0:
        raise EmptyFile(f"The data set {dataset.id} holds no rows.", hint="Send a data set with rows.")
    check_compatible(checkpoint, dataset)
    spec = resolve_spec(request, checkpoint, dataset, budget_bytes=budget_bytes)
    spec = spec.model_copy(update={"joined": joined})
    index_id = index_address(spec)
    existing = store.indexes.find_whole(index_id)
    if existing is not None and not is_dead(store, existing):
        return name_made(store.indexes, Accepted(index_id, existing.job_id, is_new=False), request.name)
    if spec.grow_from is not None:
        check_growth(store, spec, spec.grow_from)
    warnings = (
        *checkpoint.warnings,
        *doubt_indexed_numbers(checkpoint, dataset),
        *find_differences(checkpoint, dataset, spec.gradients),
        *find_metric_doubts(checkpoint, spec.metric),
        *(find_open_choices(checkpoint, dataset) if request.loss is None else ()),
    )
    name = request.name if request.name is not None or existing is None else existing.name
    fresh = Index(**INDEX.begin(index_id), spec=spec, rows=dataset.rows, warnings=warnings, name=name)
    kept = accept(store, fresh)
    made = Accepted(index_id, kept.job_id, is_new=kept.job_id == fresh.job_id)
    return name_made(store.indexes, made, request.name)


def _submit_run(store: Store, request: IndexRequest, run_id: str, budget_bytes: int) -> Accepted:
    """An index of each checkpoint of a run that sums have; answers the last of those that are not ready yet, if any."""
    run = store.runs.require(run_id)
    made = [
        submit_index(
            store,
            request.model_copy(update={"checkpoint_id": one.checkpoint_id, "run_id": None}),
            budget_bytes=budget_bytes,
        )
        for one in run.checkpoints
        if one.weight > 0
    ]
    return next((one for one in reversed(made) if one.is_new), made[-1])


def index_address(spec: IndexSpec) -> str:
    """Equal requests, equal id."""
    fields = spec.model_dump(mode="json")
    if fields["gradients"]["loss"] == "first":
        # What tags meant before there was a choice.
        fields["gradients"]["loss"] = None
    # These fields came later: at their defaults they leave addresses as they were.
    for name, default in _LATER_SETTINGS.items():
        if fields["gradients"][name] == default:
            del fields["gradients"][name]
    for name, value in _LATER_FIELDS.items():
        if fields[name] == value:
            del fields[name]
    return f"idx_{digest_json(fields)}"


def resolve_spec(request: IndexRequest, checkpoint: Checkpoint, dataset: Dataset, *, budget_bytes: int) -> IndexSpec:
    """Decide all that the request left open; fields that have no effect take one value, so that they cannot differ."""
    storage = choose_storage(request, checkpoint, dataset, budget_bytes)
    if request.kronecker and storage != "full":
        raise InvalidRequest(
            f"Kronecker factors are kept with full storage only, and this index would be {storage}.",
            hint="Send storage 'full' where it fits, or leave 'kronecker' out and ask method 'exact'.",
        )
    if request.metric == "optimizer" and request.storage == "full":
        raise InvalidRequest(
            "A metric is chosen for codes; full storage answers in both.",
            hint="Leave 'metric' out and ask method 'preconditioned', or send storage 'compact'.",
        )
    metric = request.metric if storage == "compact" else "gradient"
    gradients = GradientSettings(
        precision=request.precision,
        max_length=choose_length(checkpoint, request.max_length),
        on_too_long=request.on_too_long,
        loss=choose_loss(checkpoint, dataset, request.loss, checkpoint.training),
        reduction=check_reduction(checkpoint.task, dataset, request.reduction),
        include_bias=request.include_bias,
        parts=_choose_parts(request, checkpoint),
        beta=_choose_beta(request, checkpoint),
        center_rewards_coefficient=_choose_centering(request, checkpoint),
        diffusion=choose_diffusion(checkpoint, request),
    )
    return IndexSpec(
        checkpoint_id=checkpoint.id,
        dataset_id=dataset.id,
        storage=storage,
        on_non_finite=request.on_non_finite,
        storage_dtype=request.storage_dtype if storage == "full" else "float32",
        rank=request.rank if storage == "compact" and request.grow_from is None else None,
        code_dtype=request.code_dtype if storage == "compact" and request.grow_from is None else "int8",
        metric=metric,
        batch_rows=_choose_batch(request, checkpoint) if storage == "full" or metric == "optimizer" else 1,
        kronecker=request.kronecker,
        grow_from=request.grow_from,
        gradients=gradients,
    )


def _choose_batch(request: IndexRequest, checkpoint: Checkpoint) -> int:
    """Rows of a step: as asked, or else as in training, as far as files say it."""
    trained = None if checkpoint.training is None else checkpoint.training.batch_rows
    return request.batch_rows or trained or 1


def _choose_beta(request: IndexRequest, checkpoint: Checkpoint) -> float | None:
    """The factor of a loss that has one: as asked, or else as in training, as far as files say it.

    Raises InvalidRequest where it is given and the loss has none.
    """
    if TASKS[checkpoint.task].has_reference:
        trained = None if checkpoint.training is None else checkpoint.training.beta
        return next(beta for beta in (request.beta, trained, DEFAULT_BETA) if beta is not None)
    if request.beta is not None:
        raise InvalidRequest(
            f"'beta' is a factor of losses on preferences, and task '{checkpoint.task}' has none.",
            hint="Leave 'beta' out.",
            extra={"field": "beta"},
        )
    return None


def _choose_centering(request: IndexRequest, checkpoint: Checkpoint) -> float | None:
    """The factor on the squared sum of a pair's rewards: as asked, or else as in training, as far as files say it.

    Raises InvalidRequest where it is given and the loss has no such term.
    """
    if TASKS[checkpoint.task].centers_rewards:
        trained = None if checkpoint.training is None else checkpoint.training.center_rewards_coefficient
        return trained if request.center_rewards_coefficient is None else request.center_rewards_coefficient
    if request.center_rewards_coefficient is not None:
        raise InvalidRequest(
            f"'center_rewards_coefficient' is of rewards of pairs, and task '{checkpoint.task}' has none.",
            hint="Leave 'center_rewards_coefficient' out.",
            extra={"field": "center_rewards_coefficient"},
        )
    return None


def _choose_parts(request: IndexRequest, checkpoint: Checkpoint) -> GradientParts:
    """All, where there is nothing but LoRA factors. Raises InvalidRequest for a model without any."""
    if request.parts == "lora" and checkpoint.adapter is None:
        raise InvalidRequest(
            f"{checkpoint.id} is a plain model: it has no LoRA factors.",
            hint="Leave 'parts' out: the checkpoint's 'trainable' says what gradients are taken of.",
        )
    return "all" if checkpoint.lora_parameters == checkpoint.parameters else request.parts
