"""Counts that outlive processes: work that began, how it ended, rows that were computed. They are for metrics only.

One hash, a field a count: its name and its labels, separated by spaces. The labels come from closed sets, so that the
hash stays small. A count that a lost server or a full one did not take is missing; no work fails for it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import redis
import structlog

from influence.store import keys
from influence.store.connections import StoreFullError, StoreRefusedError, as_text

log = structlog.get_logger()

#: Of a job whose record cannot be read, and of a failure without a code.
UNKNOWN = "unknown"


class Count(NamedTuple):
    """`labels` are those of the count's name, in their order."""

    name: str
    labels: tuple[str, ...]
    value: float


class Counters:
    """Counts on the state server, shared by all processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def job_began(self, job_id: str) -> None:
        """A job left the queue: counts `began` by kind, and notes the moment."""
        kind = self._kind_of(job_id)
        self._take(f"began {kind}", moment=f"last_began {kind}")

    def job_ended(self, job_id: str, state: str, code: str | None) -> None:
        """A job is over: counts `ended` by kind, state and the code of what went wrong, and notes the moment."""
        kind = self._kind_of(job_id)
        self._take(f"ended {kind} {state} {code or 'none'}", moment=f"last_ended {kind} {state}")

    def rows_committed(self, rows: int) -> None:
        """Rows of an index were computed and kept: counts `rows`."""
        self._take("rows", rows)

    def read(self) -> Iterator[Count]:
        """All counts. `last_began` and `last_ended` are seconds since 1970."""
        for field, value in self._client.hgetall(keys.counters()).items():
            name, *labels = as_text(field).split(" ")
            with suppress(ValueError):
                yield Count(name, tuple(labels), float(as_text(value)))

    def _take(self, count: str, by: int = 1, *, moment: str | None = None) -> None:
        pipeline: Any = self._client.pipeline(transaction=False)
        pipeline.hincrby(keys.counters(), count, by)
        if moment is not None:
            pipeline.hset(keys.counters(), moment, f"{time.time():.3f}")
        counted, *_ = pipeline.execute(raise_on_error=False)
        if isinstance(counted, StoreRefusedError) and not isinstance(counted, StoreFullError):
            log.warning("a count cannot be read and begins anew", count=count, error=str(counted)[:200])
            self._client.hset(keys.counters(), count, str(by))

    def _kind_of(self, job_id: str) -> str:
        try:
            return str(json.loads(self._client.hget(keys.job(job_id), "record") or "")["kind"])
        except (ValueError, TypeError, KeyError):
            return UNKNOWN
