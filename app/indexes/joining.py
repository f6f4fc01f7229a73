"""One index of all of a run's checkpoints: may they share a code? All that their records tell."""

from influence.contracts.checkpoint import Checkpoint
from influence.contracts.index import IndexRequest, JoinedCheckpoint
from influence.errors import InvalidRequest
from influence.store.store import Store

_LEAVE_OUT = "Leave 'join' out: an index of each checkpoint is built then, and queries with 'run_id' sum over them."


def join_checkpoints(store: Store, request: IndexRequest, run_id: str) -> tuple[JoinedCheckpoint, ...]:
    """The checkpoints of a run that sums have, in the order of their steps.

    Raises NotFound, and InvalidRequest where codes cannot hold them together.
    """
    if request.metric != "optimizer":
        raise InvalidRequest(
            "Several checkpoints share a code in the optimiser's metric alone: damping and normalised gradients of "
            "other methods are each checkpoint's own.",
            hint=f"Send metric 'optimizer', which method 'preconditioned' answers in. {_LEAVE_OUT}",
            extra={"field": "metric"},
        )
    if request.storage == "full":
        raise InvalidRequest(
            "Checkpoints are joined in codes; storage 'full' keeps whole gradients, which have none to share.",
            hint=f"Send storage 'compact'. {_LEAVE_OUT}",
            extra={"field": "storage"},
        )
    run = store.runs.require(run_id)
    chosen = [one for one in run.checkpoints if one.weight > 0]
    _check_alike([store.checkpoints.require(one.checkpoint_id) for one in chosen])
    return tuple(JoinedCheckpoint(checkpoint_id=one.checkpoint_id, step=one.step, weight=one.weight) for one in chosen)


def _check_alike(checkpoints: list[Checkpoint]) -> None:
    """Raise InvalidRequest for checkpoints that read rows or were trained in different shapes."""
    last = checkpoints[-1]
    for other in checkpoints[:-1]:
        alike = {
            "adapter": (last.adapter, other.adapter),
            "classes": ((last.num_labels, last.label_names), (other.num_labels, other.label_names)),
            "tokenizer": (last.tokenizer, other.tokenizer),
            "vocabulary": (last.vocabulary, other.vocabulary),
        }
        if differing := [what for what, (one, another) in alike.items() if one != another]:
            raise InvalidRequest(
                f"{other.id} cannot share a code with {last.id}: they differ in {' and '.join(differing)}.",
                hint=_LEAVE_OUT,
                extra={"checkpoint_id": other.id, "differing": differing},
            )
