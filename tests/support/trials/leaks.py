"""Keys that nobody would ever remove: what a test leaves in the store is looked through for them."""

import re
from typing import Any

from influence.contracts.index import Index
from influence.errors import DatainfError
from influence.store import keys
from influence.store.store import Store

#: What is there as long as the service is: listings by kind and by namespace, open jobs, the queue's own.
_STANDING = re.compile(rf"{keys.PREFIX}[a-z-]+s(:open)?(@[a-z0-9-]+)?|{keys.QUEUE_NAMESPACE}:.*|dramatiq:.*")
_RECORD = re.compile(rf"{keys.PREFIX}(?P<kind>[a-z]+):(?P<id>[^:]+)")
#: What belongs to a record has its id in the name, and that of a build the job that builds it.
_OWNED = re.compile(rf"{keys.PREFIX}(?:[a-z]+:)?{{?(?P<id>[a-z]+_[0-9A-Za-z]+)(?:\.(?P<job>job_[0-9A-Za-z]+))?[.}}:].*")


class Kept:
    """What a store holds at a moment."""

    def __init__(self, store: Store) -> None:
        self._store, state = store, store.connections.state
        self.names: list[str] = sorted(name.decode(errors="replace") for name in state.scan_iter(count=1000))
        pipeline: Any = state.pipeline(transaction=False)
        for name in self.names:
            pipeline.ttl(name)
        self._ending = {name for name, seconds in zip(self.names, pipeline.execute(), strict=True) if seconds >= 0}
        #: Lines of what ends by a moment of ours.
        self._lines = self._members("lifetimes")
        self._ids = {found["id"] for name in self.names if (found := _RECORD.fullmatch(name))}

    def _members(self, listing: str) -> set[str]:
        name = f"{keys.PREFIX}{listing}"
        found: Any = self._store.connections.state.zrange(name, 0, -1) if name in self.names else []
        return {member.decode(errors="replace") for member in found}

    def leaks(self) -> list[str]:
        """Names that no rule accounts for, sorted."""
        return [name for name in self.names if not self._is_accounted(name)]

    def _is_accounted(self, name: str) -> bool:
        if name in self._ending or _STANDING.fullmatch(name):
            return True
        if record := _RECORD.fullmatch(name):
            return self._is_listed(record["kind"], record["id"])
        owned = _OWNED.fullmatch(name)
        return owned is not None and owned["id"] in self._ids and self._is_of_its_build(owned["id"], owned["job"])

    def _is_listed(self, kind: str, record_id: str) -> bool:
        """Jobs that are over have an end; everything else is kept while it is shown."""
        if f"{kind} {record_id}" in self._lines:
            return True
        if kind == "job":
            return bool(self._store.connections.state.sismember(keys.open_jobs(), record_id))
        return record_id in self._members(f"{kind}s")

    def _is_of_its_build(self, record_id: str, job_id: str | None) -> bool:
        if job_id is None:
            return True
        try:
            index: Index | None = self._store.indexes.find(record_id)
        except DatainfError:
            return True  # damaged: deleting it removes all its builds
        return index is not None and f"{record_id}.{job_id}" in (index.build, f"{record_id}.{index.job_id}")
