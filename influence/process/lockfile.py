"""Locks on folders, held by an open file: the kernel lets go when the last process that holds it dies."""

import fcntl
import os
import time
from pathlib import Path

from influence.errors import ResourceInUse

_LOOK_SECONDS = 0.05


def lock_file(path: Path, *, wait_seconds: float = 0.0) -> int:
    """Take the lock `path`, waiting for a holder that is on its way out; answers the descriptor that holds it.

    The lock lasts until every copy of the descriptor is closed, children that inherited it included.
    Raises ResourceInUse with the holder's process id in `extra`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while not _try_lock(descriptor):
        if time.monotonic() >= deadline:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise ResourceInUse(
                f"The folder {path.parent} is in use by {f'process {holder}' if holder else 'another process'}.",
                hint="End that service first, or give this one another data directory.",
                extra={"process_id": int(holder) if holder.isdigit() else None},
            )
        time.sleep(_LOOK_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
