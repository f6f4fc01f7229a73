"""A full Redis pauses a build instead of breaking it."""

from collections.abc import Callable
from typing import TypeVar

import structlog

from influence.store.connections import StoreFullError
from workers.runtime.interrupts import check_wanted
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: How often a paused build tries again.
RETRY_SECONDS = 2.0
Written = TypeVar("Written")


def retry_while_full(runtime: Runtime, job_id: str, write: Callable[[], Written]) -> Written:
    """Run `write`; while the server refuses for want of memory, wait and run it again.

    Writing again is harmless: every value has its own key, and nothing counts before its commit. The job shows the
    pause (see influence.store.jobs.jobs). Raises Cancelled when nobody wants the result any more,
    ShutdownRequested when the process is asked to end.
    """
    paused = False
    while True:
        try:
            written = write()
            if paused:
                runtime.store.jobs.resume(job_id)
            return written
        except StoreFullError:
            log.warning("Redis is full; the build waits", job_id=job_id)
            runtime.store.jobs.pause(job_id)
            paused = True
        runtime.stopping.wait(RETRY_SECONDS)
        check_wanted(runtime, job_id)
