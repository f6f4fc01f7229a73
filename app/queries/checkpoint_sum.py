"""May a query sum over these indexes? All that can be told from the records of checkpoints of one run."""

from app.checks.readiness import require_ready
from app.indexes.submit import index_address
from influence.contracts.index import Index
from influence.contracts.query import CheckpointWeight, QueryRequest, SummedCheckpoint
from influence.errors import InvalidRequest
from influence.methods.registry import METHODS, get_method, get_offered
from influence.store.store import Store


def resolve_checkpoints(store: Store, index: Index, request: QueryRequest) -> tuple[SummedCheckpoint, ...] | None:
    """What a query sums over, the asked index first; None for a query of one index.

    Raises InvalidRequest where the sum would mean nothing, NotFound, IndexNotReady, IndexFailed, MethodNotOffered.
    """
    _refuse_joined(index, request)
    chosen = request.checkpoints if request.run_id is None else _of_run(store, index, request.run_id)
    if chosen is None:
        if request.method in METHODS and METHODS[request.method].needs_checkpoints:
            raise InvalidRequest(
                f"Method '{request.method}' sums over the checkpoints of a run, and none are named.",
                hint="Send 'checkpoints': [{index_id, weight}], weights being learning rates, or a 'run_id'; or use "
                "'hessian_free'.",
            )
        return None
    get_method(request.method)  # a baseline has nothing to sum
    weights = {one.index_id: one.weight for one in chosen}
    if len(weights) < len(chosen):
        raise InvalidRequest("An index is named twice in 'checkpoints'.", hint="Name each index once.")
    if index.id not in weights:
        raise InvalidRequest(
            f"The index asked, {index.id}, is not among 'checkpoints'.",
            hint="Name it there with its weight, or ask one of those that are.",
        )
    others = [require_ready(store, index_id) for index_id in weights if index_id != index.id]
    for other in others:
        get_offered(request.method, other.spec)
        _check_same_run(store, index, other)
    return tuple(
        SummedCheckpoint(index_id=found.id, checkpoint_id=found.spec.checkpoint_id, weight=weights[found.id])
        for found in (index, *others)
    )


def _refuse_joined(index: Index, request: QueryRequest) -> None:
    if index.spec.joined and (request.checkpoints is not None or request.run_id is not None):
        raise InvalidRequest(
            f"{index.id} holds {len(index.spec.joined)} checkpoints in one code: its scores are their sum already.",
            hint="Leave 'checkpoints' and 'run_id' out.",
            extra={"checkpoints": [one.checkpoint_id for one in index.spec.joined]},
        )


def _of_run(store: Store, index: Index, run_id: str) -> tuple[CheckpointWeight, ...]:
    """The indexes of a run's checkpoints that were built as the asked one was, each with its weight.

    Raises NotFound, InvalidRequest.
    """
    run = store.runs.require(run_id)
    weights = {one.checkpoint_id: one.weight for one in run.checkpoints if one.weight > 0}
    if index.spec.checkpoint_id not in weights:
        raise InvalidRequest(
            f"The index asked, {index.id}, is of no checkpoint that {run.id} sums over.",
            hint="Ask an index of one of the run's checkpoints.",
            extra={"checkpoints": list(weights)},
        )
    alike = {one: index_address(index.spec.model_copy(update={"checkpoint_id": one})) for one in weights}
    if missing := [one for one, address in alike.items() if store.indexes.find_whole(address) is None]:
        raise InvalidRequest(
            f"{len(missing)} checkpoints of {run.id} have no index like {index.id}, such as {missing[0]}.",
            hint="Send POST /v1/indexes with this run_id and the settings of that index first.",
            extra={"checkpoints": missing},
        )
    return tuple(CheckpointWeight(index_id=alike[one], weight=weight) for one, weight in weights.items())


def _check_same_run(store: Store, index: Index, other: Index) -> None:
    """Raise InvalidRequest for an index whose scores cannot be added to those of the asked one."""
    mine, theirs = (store.checkpoints.require(found.spec.checkpoint_id) for found in (index, other))
    alike: dict[str, tuple[object, object]] = {
        "data set": (index.spec.dataset_id, other.spec.dataset_id),
        "gradient settings": (index.spec.gradients, other.spec.gradients),
        "task": (mine.task, theirs.task),
        "base model": (mine.base_model, theirs.base_model),
        "classes": ((mine.num_labels, mine.label_names), (theirs.num_labels, theirs.label_names)),
        "blocks": (_blocks(index), _blocks(other)),
    }
    if differing := [what for what, (one, another) in alike.items() if one != another]:
        raise InvalidRequest(
            f"{other.id} cannot be summed with {index.id}: they differ in {' and '.join(differing)}.",
            hint="Name indexes of checkpoints of one training run, built over one data set with the same settings.",
            extra={"index_id": other.id, "differing": differing},
        )


def _blocks(index: Index) -> list[tuple[str, tuple[int, ...]]]:
    return [(block.name, block.shape) for block in index.blocks]
