"""How often work on a piece was begun and never left: what kills its workers fails instead of going on for ever.

Only deaths count. Whoever leaves a piece alive takes the count back: done, refused, given back because the process
ends or the server went away. A process that ends before its piece does, for a micro-batch or a load may be long, takes
back what is still open.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from influence.errors import WorkerDied
from influence.store.connections import StoreError
from workers.building.wait_for_memory import retry_while_full
from workers.runtime.state import Runtime

#: A piece that was begun so often, and never left, kills its workers.
MAX_ATTEMPTS = 5


@contextmanager
def attempt(runtime: Runtime, job_id: str, piece: int, name: str) -> Iterator[None]:
    """Work on a piece of a job, called `name` in what is raised. Raises WorkerDied when it was begun too often,
    and RecordDamaged where nobody knows how often: it may be without end."""
    count = partial(runtime.store.jobs.attempts.count, job_id, piece)
    if retry_while_full(runtime, job_id, count) > MAX_ATTEMPTS:
        raise WorkerDied(f"{name} was begun {MAX_ATTEMPTS} times and never ended.")
    runtime.attempts.append((job_id, piece))
    try:
        yield
    finally:
        _take_back(runtime, job_id, piece)


def take_back_attempts(runtime: Runtime) -> None:
    """When the process ends: what it has begun and not ended is no death."""
    for job_id, piece in list(runtime.attempts):
        _take_back(runtime, job_id, piece)


def _take_back(runtime: Runtime, job_id: str, piece: int) -> None:
    try:
        runtime.attempts.remove((job_id, piece))
    except ValueError:  # the process is ending and has done so already
        return
    with suppress(StoreError):  # a server that went away: counting once too often is better than another failure
        runtime.store.jobs.attempts.forget(job_id, piece)
