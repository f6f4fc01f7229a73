"""May a query sum over these indexes? All that can be told from the records of checkpoints of one run."""

from app.checks.readiness import require_ready
from influence.contracts.index import Index
from influence.contracts.query import QueryRequest, SummedCheckpoint
from influence.errors import InvalidRequest
from influence.methods.registry import METHODS, get_method, get_offered
from influence.store.store import Store


def resolve_checkpoints(store: Store, index: Index, request: QueryRequest) -> tuple[SummedCheckpoint, ...] | None:
    """What a query sums over, the asked index first; None for a query of one index.

    Raises InvalidRequest where the sum would mean nothing, NotFound, IndexNotReady, IndexFailed, MethodNotOffered.
    """
    if request.checkpoints is None:
        if request.method in METHODS and METHODS[request.method].needs_checkpoints:
            raise InvalidRequest(
                f"Method '{request.method}' sums over the checkpoints of a run, and none are named.",
                hint="Send 'checkpoints': [{index_id, weight}], weights being learning rates; or use 'hessian_free'.",
            )
        return None
    get_method(request.method)  # a baseline has nothing to sum
    weights = {chosen.index_id: chosen.weight for chosen in request.checkpoints}
    if len(weights) < len(request.checkpoints):
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
