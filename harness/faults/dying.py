"""A worker that dies before or after a named place of a build, once: whoever takes the file away that names it."""

import os
import signal
from functools import wraps
from pathlib import Path
from typing import Any

#: What a worker's variant begins with; the file that names the place follows.
VARIANT = "failpoints:"
#: Name of a place -> the method of the store that is called there, by its class's name.
PLACES = {
    "parts": "IndexData.write_parts",
    "gradients": "IndexData.write_gradients",
    "rows": "IndexData.write_rows",
    "commit": "IndexData.commit",
    "files": "IndexValues.write",
    "success": "Jobs.succeed",
    "messages": "Queue.submit_all",
}
SIDES = ("before", "after")


def die_once(armed: Path, place: str) -> None:
    """Kill this process if the file names the place, and no other process took it first."""
    try:
        if armed.read_text() != place:
            return
        armed.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner: type, method: str, armed: Path, name: str) -> None:
    """Let the process die before or after a method of a class is called, where the file says so."""
    call = getattr(owner, method)

    @wraps(call)
    def wrapped(*given: Any, **named: Any) -> Any:
        die_once(armed, f"before {name}")
        answer = call(*given, **named)
        die_once(armed, f"after {name}")
        return answer

    setattr(owner, method, wrapped)


def install(armed: Path) -> None:
    """Wrap all places of this process."""
    from influence.store.data.indexes import IndexData
    from influence.store.data.vault.index_values import IndexValues
    from influence.store.jobs.jobs import Jobs
    from influence.store.queue import Queue

    owners = {owner.__name__: owner for owner in (IndexData, IndexValues, Jobs, Queue)}
    for name, place in PLACES.items():
        owner, _, method = place.partition(".")
        wrap(owners[owner], method, armed, name)
