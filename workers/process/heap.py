"""The C library's heap of a worker process, kept from creeping.

A micro-batch takes and gives back thousands of blocks of changing sizes. What glibc sets aside for quick reuse, a
cache a thread and an arena a thread, is never joined with its neighbours again: it nails the heap down at random
places, so that larger blocks find no room and the heap grows with every shard. Without those two caches the heap is
one piece again after each batch. They can be turned off only before a process begins; another C library or allocator
takes no notice.
"""

from collections.abc import Mapping

_VARIABLE = "GLIBC_TUNABLES"
_TUNABLES = {
    "glibc.malloc.tcache_count": "0",
    "glibc.malloc.arena_max": "1",
    # What one batch gives back the next one takes: pages that go to the system and come again cost a quarter of
    # the speed.
    "glibc.malloc.mmap_threshold": str(32 << 20),
    "glibc.malloc.trim_threshold": str(256 << 20),
}


def steady_heap(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that computes gradients: this one, and the heap's settings that it leaves open."""
    given = environment.get(_VARIABLE, "")
    named = {part.partition("=")[0] for part in given.split(":")}
    ours = [f"{name}={value}" for name, value in _TUNABLES.items() if name not in named]
    return {**environment, _VARIABLE: ":".join([*filter(None, [given]), *ours])}
