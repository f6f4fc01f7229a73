"""Where a query's time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Milliseconds by phase; a phase that comes again adds up."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase."""
        started = time.perf_counter()
        yield
        taken = (time.perf_counter() - started) * 1000
        self.milliseconds[name] = round(self.milliseconds.get(name, 0.0) + taken, 2)

    def finish(self) -> dict[str, float]:
        """All phases and their total."""
        self.milliseconds["total"] = round((time.perf_counter() - self._started) * 1000, 2)
        return self.milliseconds
