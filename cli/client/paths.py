"""Where resources are read and indexes are asked, by their ids."""

from urllib.parse import quote

from datainf_client.text import plain
from influence.contracts.work import WORK_KINDS
from influence.errors import InvalidRequest

#: Prefix of an id to its collection.
COLLECTIONS = {
    "ckpt": "checkpoints",
    "run": "runs",
    "ds": "datasets",
    "rev": "reviews",
    "job": "jobs",
    "hook": "webhooks",
    **{kind.prefix: kind.collection for kind in WORK_KINDS},
}


def resource_path(resource_id: str) -> str:
    """Where the resource of an id is read. Raises InvalidRequest for an id of no kind that we know."""
    collection = COLLECTIONS.get(resource_id.partition("_")[0])
    if collection is None:
        kinds = ", ".join(f"{prefix}_..." for prefix in COLLECTIONS)
        raise InvalidRequest(f"{plain(resource_id, 80)!r} is not an id.", hint=f"Ids look like {kinds}.")
    return f"/v1/{collection}/{quote(resource_id, safe='')}"


def index_path(index_id: str, collection: str) -> str:
    """Where an index is asked: its queries, sweeps, audits or groups."""
    return f"/v1/indexes/{quote(index_id, safe='')}/{collection}"
