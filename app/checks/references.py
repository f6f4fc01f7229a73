"""Who stands on a checkpoint or a data set."""

from collections.abc import Iterator

from influence.errors import ResourceInUse
from influence.store.store import Store

_NAMED = 20


def refuse_used(store: Store, resource_id: str) -> None:
    """Raise ResourceInUse naming the indexes that stand on a checkpoint or a data set, or evaluations at work on it."""
    users = [
        index.id for index in store.indexes.all() if resource_id in (index.spec.checkpoint_id, index.spec.dataset_id)
    ]
    if users:
        raise ResourceInUse(
            f"{len(users)} indexes stand on {resource_id}, such as {users[0]}.",
            hint="Delete the indexes first.",
            extra={"indexes": users[:_NAMED], "count": len(users)},
        )
    evaluations = list(_evaluations_at_work(store, resource_id))
    if evaluations:
        raise ResourceInUse(
            f"{len(evaluations)} evaluations are at work on {resource_id}, such as {evaluations[0]}.",
            hint="Wait for them, or delete them first.",
            extra={"evaluations": evaluations[:_NAMED], "count": len(evaluations)},
        )


def _evaluations_at_work(store: Store, resource_id: str) -> Iterator[str]:
    for evaluation in store.evaluations.all():
        rows = (evaluation.subject.dataset_id, evaluation.request.evaluation_dataset_id)
        if resource_id in rows and store.jobs.state(evaluation.job_id) in ("queued", "running"):
            yield evaluation.id
