"""Other work of the build queue beside a step that takes long and cannot be cut: the sampling of a large plan."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Threads that take messages beside such steps at most.
MOST_THREADS = 4
#: How often a step that waits for another's end looks whether it is still wanted.
_LOOK_SECONDS = 1.0

End = Callable[[], None]


class Aside:
    """What a process lets others do while a step takes long: nothing, until the process offers a way.

    One step at a time does the long part, for it holds much memory; others of its kind wait, and let others work, too.
    """

    def __init__(self) -> None:
        self._begin: Callable[[], End] | None = None
        self._room = threading.BoundedSemaphore(MOST_THREADS)
        self._turn = threading.Lock()

    def offer(self, begin: Callable[[], End]) -> None:
        """`begin` lets another thread take messages until what it gives back is called, which waits for that thread."""
        self._begin = begin

    @contextmanager
    def let_others_work(self, check: Callable[[], None]) -> Iterator[None]:
        """While the block does the long part of a step; raises what `check` raises while it waits for its turn."""
        end = self._begin() if self._begin is not None and self._room.acquire(blocking=False) else None
        try:
            while not self._turn.acquire(timeout=_LOOK_SECONDS):
                check()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            if end is not None:
                end()
                self._room.release()
