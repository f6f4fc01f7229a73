"""What all collections can do."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from datainf_client.http.session import Session
from datainf_client.pages import pages
from datainf_client.resources.base import Resource
from datainf_client.sources.ids import Named, resource_path

Item = TypeVar("Item", bound=Resource)


class Collection(Generic[Item]):
    """Resources of one kind, by their ids."""

    kind: type[Item]

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, resource_id: str) -> Item:
        """The resource of an id. Raises ServiceError."""
        return self.kind.read(self._session, resource_id)

    def delete(self, resource: Named) -> None:
        """Remove a resource with all that it keeps."""
        self._session.delete(resource_path(self.kind.collection, resource))


class Listed(Collection[Item]):
    """Resources of one kind that the service lists."""

    def list(self, **filters: Any) -> Iterator[Item]:
        """All of them, the newest first, a page at a time. Lists are light: what is large is in `get` alone."""
        for body in pages(self._session, f"/v1/{self.kind.collection}", **filters):
            yield self.kind.of(self._session, body)

    def __iter__(self) -> Iterator[Item]:
        return self.list()
