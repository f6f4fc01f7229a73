"""Progress of a job's work, and with every report the question whether to go on."""

import contextlib
import time

from influence.store.connections import StoreFullError
from workers.runtime.interrupts import check_stopping, require_wanted
from workers.runtime.state import Runtime

#: Redis is told and asked at most so often, however small the micro-batches.
_REPORT_SECONDS = 0.2


class JobProgress:
    """Reports units done, of the whole phase or of one shard, and raises when the work should stop."""

    def __init__(self, runtime: Runtime, job_id: str, *, shard: int | None = None) -> None:
        self._runtime = runtime
        self._job_id = job_id
        self._shard = shard
        self._last = 0.0

    def report(self, done: int, *, last: bool = False) -> None:
        """Say how many units are done.

        Raises Cancelled when nobody wants the result, ShutdownRequested when the process is asked to end.
        """
        check_stopping(self._runtime)
        if not last and time.monotonic() - self._last < _REPORT_SECONDS:
            return
        self._last = time.monotonic()
        require_wanted(self._runtime, self._job_id)
        # A server without room for a number has none for the work either: that write waits, this one need not.
        with contextlib.suppress(StoreFullError):
            self._runtime.store.jobs.set_done(self._job_id, done, shard=self._shard)
