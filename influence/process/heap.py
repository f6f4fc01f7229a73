"""Large blocks of memory go back to the system as soon as they are free.

glibc learns from the first large block that is freed to keep such blocks for reuse, in an arena a thread: a process
whose threads decode one large image each would hold the memory of them all, for ever.
"""

import ctypes

_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def return_large_blocks() -> None:
    """Ask the C library for it, for this process; one that is not glibc has its own ways."""
    try:
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    except (OSError, AttributeError, TypeError):
        return
