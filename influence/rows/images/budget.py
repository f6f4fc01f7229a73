"""Memory that images may take at once while they are decoded, over all threads of a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class MemoryBudget:
    """So many bytes; who asks for some waits until they are free. More than all of them is given to one at a time."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._free = most_bytes
        self._changed = Condition()

    @contextmanager
    def held(self, wanted_bytes: int) -> Iterator[None]:
        """Hold so many bytes for the length of a block."""
        taken = min(wanted_bytes, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()
