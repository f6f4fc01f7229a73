"""Test points kept for the next question about them: another method or damping takes the same gradients."""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from influence.contracts.index import Index
from influence.process.lru import Lru
from workers.runtime.hot_indexes import InMemory

Points = TypeVar("Points", bound=InMemory)
#: Id and build of an index, and a digest of what was asked about.
PointsKey = tuple[str, str, str]


class KeptPoints:
    """Test points by index and what was asked about, under a bound of bytes; the least recently asked about leave.

    They hold what people sent, so they leave with the index and with any query that asked about them.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._points: Lru[PointsKey, Any] = Lru(budget_bytes, size_of=lambda points: int(points.bytes))
        self._asked: defaultdict[str, set[PointsKey]] = defaultdict(set)
        self._mutex = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory that the points take now."""
        return self._points.size

    def get(
        self, query_id: str, index: Index, about: str, compute: Callable[[], Points], confirm: Callable[[], None]
    ) -> Points:
        """The points that `about` tells apart, made by `compute` where they are not here.

        `confirm` is called after new ones were kept. Raises what the two raise.
        """
        key = (index.id, index.job_id, about)
        found: Points | None = self._points.find(key)
        points = compute() if found is None else found
        if points.bytes > self._budget_bytes:
            return points
        if found is None:
            self._points.put(key, points)
        with self._mutex:
            self._asked[query_id].add(key)
        if found is None:
            confirm()
        return points

    def builds(self) -> set[tuple[str, str]]:
        """Ids and builds of the indexes that something is kept of."""
        return {(key[0], key[1]) for key in self._points}

    def queries(self) -> set[str]:
        """Ids of the queries whose points are kept; those of others are not remembered any longer."""
        kept = set(self._points)
        with self._mutex:
            for query_id in [query_id for query_id, keys in self._asked.items() if not keys & kept]:
                del self._asked[query_id]
            return set(self._asked)

    def forget(self, record_id: str) -> None:
        """Drop the points of an index, or of a query, that was deleted."""
        with self._mutex:
            asked = self._asked.pop(record_id, set())
        self._points.forget(lambda key: key[0] == record_id or key in asked)
