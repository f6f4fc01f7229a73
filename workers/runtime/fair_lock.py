"""A lock that serves waiters in the order they came, but for work that can wait while somebody waits for an answer.

A build holds the model for one micro-batch at a time. With an ordinary lock it would take it again at once and a
query could starve; here the query is next. A query is more than its passes over the model, and a micro-batch beside the
rest of it takes cores from it; so a build begins none while a query is in hand, for a while.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

#: For each second in which a thread that gives way holds the lock, it waits for others so many at most: work that is
#: never out of hand leaves it a third of the time.
_WAITED_PER_HELD = 2.0
#: What it did not wait for is kept no longer than this: a query in hand after a long quiet time is not waited out.
_MOST_WAIT_SECONDS = 0.5


class _Own(threading.local):
    """What the lock knows of a thread."""

    gives_way = False
    wait_seconds = _MOST_WAIT_SECONDS
    taken_at = 0.0


class FairLock:
    """First come, first served; not re-entrant."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False
        self._own = _Own()
        self._urgent = 0
        self._is_quiet = threading.Event()
        self._is_quiet.set()

    def give_way(self) -> None:
        """From now on this thread waits, before it takes the lock, for what is `in_hand` of others, in bounds."""
        self._own.gives_way = True

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """While somebody waits for what the block does, whether it holds the lock or not."""
        self._count_urgent(1)
        try:
            yield
        finally:
            self._count_urgent(-1)

    def _count_urgent(self, more: int) -> None:
        with self._mutex:
            self._urgent += more
            if self._urgent:
                self._is_quiet.clear()
            else:
                self._is_quiet.set()

    def acquire(self) -> None:
        """Wait for one's turn."""
        if self._own.gives_way:
            began = time.monotonic()
            self._is_quiet.wait(self._own.wait_seconds)
            self._own.wait_seconds = max(0.0, self._own.wait_seconds - (time.monotonic() - began))
        self._take()
        self._own.taken_at = time.monotonic()

    def _take(self) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def release(self) -> None:
        """Hand over to whoever has waited longest."""
        earned = _WAITED_PER_HELD * (time.monotonic() - self._own.taken_at)
        self._own.wait_seconds = min(_MOST_WAIT_SECONDS, self._own.wait_seconds + earned)
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
