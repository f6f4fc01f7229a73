"""What a Redis of an operator meets: no memory under any policy that keeps records, and a full disk."""

import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from harness.house import House

#: Those under which records stay; under `allkeys-*` the service says that it is not safe.
POLICIES = ("noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl")


@contextmanager
def fill_memory(house: House, dice: random.Random) -> Iterator[None]:
    """No room for anything more than what is there."""
    state = house.store().connections.state
    before = _settings(house, "maxmemory", "maxmemory-policy")
    used = cast("dict[str, int]", state.info("memory"))["used_memory"]
    state.config_set("maxmemory-policy", dice.choice(POLICIES))
    state.config_set("maxmemory", used)
    try:
        yield
    finally:
        for name, value in before.items():
            state.config_set(name, value)


@contextmanager
def fill_disk(house: House, dice: random.Random) -> Iterator[None]:
    """Writes are refused (MISCONF): a snapshot could not be written, for no file may grow.

    The append-only file is off meanwhile, and the log silent: a server that may write neither is ended by the system.
    """
    state, server = house.store().connections.state, house.redis.process.pid
    settings = {"loglevel": "nothing", "appendonly": "no", "save": "3600 1", "stop-writes-on-bgsave-error": "yes"}
    before = _settings(house, *settings)
    for name, value in settings.items():
        state.config_set(name, value)
    limits = resource.prlimit(server, resource.RLIMIT_FSIZE)
    resource.prlimit(server, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        _snapshot(house)
        yield
    finally:
        resource.prlimit(server, resource.RLIMIT_FSIZE, limits)
        _snapshot(house)
        for name, value in before.items():
            state.config_set(name, value)


def _settings(house: House, *names: str) -> dict[str, str]:
    return {name: str(house.store().connections.state.config_get(name)[name]) for name in names}


def _snapshot(house: House) -> None:
    """Try to write one, and wait until it is over."""
    state = house.store().connections.state
    state.bgsave()
    while cast("dict[str, int]", state.info("persistence"))["rdb_bgsave_in_progress"]:
        time.sleep(0.01)
