"""When a process that ended is started again, and what its exit code says: for whoever keeps processes running."""

import signal
import time
from dataclasses import dataclass

#: Doublings of the wait after which it has long reached its last.
_DOUBLINGS = 20


@dataclass(frozen=True)
class Patience:
    """A life shorter than `short_life_seconds` ended at its start. Waiting doubles with each such life in a row, from
    the first to the last wait; `max_short_lives` of them are too many."""

    short_life_seconds: float = 10.0
    first_wait_seconds: float = 0.5
    last_wait_seconds: float = 10.0
    max_short_lives: int = 5


@dataclass
class Lives:
    """The lives of a process and its successors; `short_lives` counts those in a row that ended at their start."""

    patience: Patience = Patience()
    ended: int = 0
    short_lives: int = 0
    _started_at: float = 0.0
    _start_after: float = 0.0

    @property
    def may_begin(self) -> bool:
        """Whether the wait after the last life is over."""
        return time.monotonic() >= self._start_after

    @property
    def are_too_short(self) -> bool:
        """Whether too many in a row ended at their start."""
        return self.short_lives >= self.patience.max_short_lives

    def begin(self) -> None:
        """A life begins."""
        self._started_at = time.monotonic()

    def end(self) -> float:
        """A life ended; answers how many seconds to wait before the next, 0 after one of some length."""
        patience, now = self.patience, time.monotonic()
        is_short = now - self._started_at < patience.short_life_seconds
        self.ended += 1
        self.short_lives = self.short_lives + 1 if is_short else 0
        wait = patience.first_wait_seconds * 2 ** min(self.short_lives - 1, _DOUBLINGS) if is_short else 0.0
        wait = min(wait, patience.last_wait_seconds)
        self._start_after = now + wait
        return wait


def describe_exit(code: int) -> str:
    """What an exit code says, in words."""
    if code == -signal.SIGKILL:
        return "was killed, perhaps by the kernel for want of memory"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
