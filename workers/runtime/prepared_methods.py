"""What methods prepared from an index, kept for the next query."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State")


@dataclass
class PreparedMethods(Generic[State]):
    """The last `capacity` states used, by method and damping; the one not used for longest goes first.

    One state is made at a time, so that queries that arrive together share it.
    """

    capacity: int
    _states: OrderedDict[tuple[str, float | None], State] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._states)

    def get(self, method: str, damping_scale: float | None, make: Callable[[], State], *, keep: bool = True) -> State:
        """The state of a method at one damping, made if it is not there; without `keep` a new one is not kept.

        Raises what `make` raises, and then keeps nothing.
        """
        key = (method, damping_scale)
        with self._lock:
            if key in self._states:
                self._states.move_to_end(key)
                return self._states[key]
            if not keep:
                return make()
            while len(self._states) >= self.capacity:
                self._states.popitem(last=False)  # before the new one is made: both might not fit
            self._states[key] = make()
            return self._states[key]
