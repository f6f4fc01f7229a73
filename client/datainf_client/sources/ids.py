"""Resources are named by their id, or by themselves."""

from typing import Protocol
from urllib.parse import quote


class HasId(Protocol):
    """Any resource."""

    id: str


Named = str | HasId


def id_of(named: Named) -> str:
    """The id."""
    return named if isinstance(named, str) else named.id


def resource_path(collection: str, named: Named) -> str:
    """Where a resource is read."""
    return f"/v1/{collection}/{quote(id_of(named), safe='')}"
