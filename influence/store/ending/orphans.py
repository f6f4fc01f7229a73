"""Removes what no record stands for any more: a worker that was killed, or lost its device, between writing for a job
that was deleted meanwhile and clearing up after itself cannot do so.

Redis does not say when a key was written. So what is found without a record is remembered, and goes when it was found
so at every look for an hour.
"""

import time
from collections.abc import Iterator
from typing import cast

import redis
import structlog

from influence.errors import RecordDamaged
from influence.store import keys
from influence.store.keys import Owner
from influence.store.store import Store

log = structlog.get_logger()

#: Between two looks of whoever looks, and how long something has to be without a record.
LOOK_SECONDS = 600.0
MIN_AGE_SECONDS = 3600.0
_BATCH = 500
#: KEYS: orphans. ARGV: the moment, seconds between looks, the line of the looks. Answers 1 to one of those who ask.
_BEGIN = """
if ARGV[1] - (redis.call('ZSCORE', KEYS[1], ARGV[3]) or 0) < tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_LOOKED = "looked"


def remove_orphans(store: Store, *, now: float | None = None) -> list[str]:
    """Look through all keys, if nobody has recently; answers whose were removed. `now` is in seconds since 1970."""
    moment, state = time.time() if now is None else now, store.connections.state
    if not state.register_script(_BEGIN)(keys=[keys.orphans()], args=[moment, LOOK_SECONDS, _LOOKED]):
        return []
    found = {str(owner): owner for owner in _find_orphans(store)}
    known = dict(cast("list[tuple[bytes, float]]", state.zrange(keys.orphans(), 0, -1, withscores=True)))
    gone = [line for line in known if line.decode(errors="replace") not in (_LOOKED, *found)]
    if gone:
        state.zrem(keys.orphans(), *gone)
    if found:
        state.zadd(keys.orphans(), dict.fromkeys(found, moment), nx=True)
    old = [name for name in found if known.get(name.encode(), moment) <= moment - MIN_AGE_SECONDS]
    for name in old:
        _remove(store, found[name])
    return old


def _find_orphans(store: Store) -> Iterator[Owner]:
    seen: set[Owner] = set()
    for _, owner in _owned_keys(store):
        if owner not in seen:
            seen.add(owner)
            if _is_orphan(store, owner):
                yield owner


def _owned_keys(store: Store) -> Iterator[tuple[tuple[redis.Redis, bytes], Owner]]:
    state, cache = store.connections.state, store.connections.cache
    for client in {id(one): one for one in (state, cache)}.values():
        for name in client.scan_iter(match=f"{keys.PREFIX}*", count=1000):
            owner = keys.owner_of(name.decode(errors="replace"))
            if owner is not None:
                yield (client, name), owner


def _is_orphan(store: Store, owner: Owner) -> bool:
    """Whether nothing is kept that this belongs to, and nobody works on it."""
    if owner.resource_id.startswith("job_"):  # a report about a job that was removed
        return not store.connections.state.hexists(keys.job(owner.resource_id), "record")
    if not store.knows(owner.resource_id):
        return False
    if store.holds(owner.resource_id):
        return owner.job_id is not None and not _is_of_its_build(store, owner)
    return not (owner.job_id is not None and _is_worked_on(store, owner))


def _is_of_its_build(store: Store, owner: Owner) -> bool:
    try:
        index = store.indexes.find(owner.resource_id)
    except RecordDamaged:  # to delete it removes all its builds
        return True
    if index is None:
        return False
    return str(owner) in (index.build, f"{index.id}.{index.job_id}") or _is_worked_on(store, owner)


def _is_worked_on(store: Store, owner: Owner) -> bool:
    """Whether the build's job is not over, or a worker holds one of its shards."""
    if store.jobs.state(owner.job_id or "") in ("queued", "running"):
        return True
    leases = store.connections.state.scan_iter(match=keys.repair_pattern(str(owner)), count=1000)
    return next(leases, None) is not None


def _remove(store: Store, owner: Owner) -> None:
    names: dict[int, list[bytes]] = {}
    clients: dict[int, redis.Redis] = {}
    for (client, name), whose in _owned_keys(store):
        if whose == owner:
            clients[id(client)] = client
            names.setdefault(id(client), []).append(name)
    if not _is_orphan(store, owner):  # begun anew since
        return
    for number, found in names.items():
        for start in range(0, len(found), _BATCH):
            clients[number].unlink(*found[start : start + _BATCH])
    log.warning("data without a record is removed", of=str(owner), keys=sum(map(len, names.values())))
    store.connections.state.zrem(keys.orphans(), str(owner))
