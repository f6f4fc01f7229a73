"""Other work of the build queue beside a step that takes long and cannot be cut: the sampling of a large plan."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workers.runtime.sharing.turns import Turns

#: Threads that take messages beside such steps at most.
MOST_THREADS = 4

End = Callable[[], None]


def _nobody() -> End | None:
    return None


class Aside:
    """What a process lets others do while a step takes long: nothing, until the process offers a way.

    One step at a time does the long part, for it holds much memory; others of its kind wait, and let others work, too.
    """

    def __init__(self) -> None:
        self._begin: Callable[[], End | None] = _nobody
        self._turns = Turns(1)

    def offer(self, begin: Callable[[], End | None]) -> None:
        """`begin` lets another thread take messages until what it gives back is called, which waits for that thread; it
        gives nothing back where as many as may already do."""
        self._begin = begin

    @contextmanager
    def let_others_work(self, check: Callable[[], None]) -> Iterator[None]:
        """While the block does the long part of a step; raises what `check` raises while it waits for its turn."""
        end = self._begin()
        try:
            with self._turns.take(check):
                yield
        finally:
            if end is not None:
                end()
