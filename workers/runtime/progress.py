"""Progress of a job's work, and with every report the question whether to go on."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

from influence.store.connections import StoreFullError
from workers.rows import EncodedRow
from workers.runtime.interrupts import check_stopping, require_wanted
from workers.runtime.state import Runtime

#: What a row takes beside its tokens, in tokens: its gradient is taken in and stored.
_TOKENS_PER_ROW = 8
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


class TokensDone:
    """Tells `report` of rows done, of so many as a phase counts, by the tokens of those that are computed.

    Batches begin with the longest rows, of which a second holds few: counted by rows, the time left would be told as
    several times what it is.
    """

    def __init__(self, rows: Sequence[EncodedRow], counted: int, report: Callable[[int], None]) -> None:
        self._tokens = [row.length + _TOKENS_PER_ROW for row in rows]
        self._total = max(sum(self._tokens), 1)
        self._counted = counted
        self._report = report
        self._done = 0

    def add(self, positions: Iterable[int]) -> None:
        """These rows are done. Raises what `report` raises."""
        self._done += sum(self._tokens[position] for position in positions)
        self._report(self._counted * self._done // self._total)
