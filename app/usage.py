"""Who stands on a checkpoint or a data set."""

from influence.errors import ResourceInUse
from influence.store.store import Store

_NAMED = 20


def refuse_used(store: Store, resource_id: str) -> None:
    """Raise ResourceInUse naming the indexes that stand on a checkpoint or a data set."""
    users = [
        index.id for index in store.indexes.all() if resource_id in (index.spec.checkpoint_id, index.spec.dataset_id)
    ]
    if users:
        raise ResourceInUse(
            f"{len(users)} indexes stand on {resource_id}, such as {users[0]}.",
            hint="Delete the indexes first.",
            extra={"indexes": users[:_NAMED], "count": len(users)},
        )
