"""When what is kept ends by itself: moments of ours, kept beside the keys.

A full server evicts keys that have a lifetime in Redis. So only gradients, which can be computed again, have one;
records, answers and jobs have a line here, and workers remove what is due.
"""

import time
from collections.abc import Sequence
from typing import cast

import redis

from influence.store import keys

#: What ends beside records of long work, which are named by their kind.
JOB, ANSWER_TO_KEY = "job", "idempotency"


class Lifetimes:
    """One moment per key; a later one for the same key replaces it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def begin(self, kind: str, name: str, seconds: float) -> None:
        """Something ends so many seconds from now."""
        self._client.zadd(keys.lifetimes(), {f"{kind} {name}": time.time() + seconds})

    def due(self, most: int, *, now: float | None = None) -> list[bytes]:
        """The lines of what has ended, the longest ago first."""
        until = time.time() if now is None else now
        return cast("list[bytes]", self._client.zrangebyscore(keys.lifetimes(), "-inf", until, start=0, num=most))

    def forget(self, lines: Sequence[bytes]) -> None:
        """What they name is gone."""
        self._client.zrem(keys.lifetimes(), *lines)
