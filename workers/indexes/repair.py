"""What was lost or damaged is computed again, never guessed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from influence.contracts.index import Index
from influence.digests import new_id
from influence.errors import ShardMissing
from influence.store import keys
from influence.store.connections import StoreError
from influence.store.data.chunks import DamagedChunk
from workers.building.shard import collect_shard
from workers.runtime.basis_sample import shard_moments
from workers.runtime.deletions import drop_if_deleted, require_kept
from workers.runtime.interrupts import check_stopping
from workers.runtime.state import Runtime

log = structlog.get_logger()

#: How long a query waits for another worker that is computing a lost shard again.
REPAIR_WAIT_SECONDS = 120.0
_LOOK_SECONDS = 0.25
#: A lease is renewed so many times before it would end: one answer may be lost.
_RENEWALS = 3
Loaded = TypeVar("Loaded")


def read_or_repair(runtime: Runtime, index: Index, shard: int, read: Callable[[], Loaded]) -> Loaded:
    """Read a shard; one worker computes it again if it is lost or damaged, the others wait for that one.

    Raises ShardMissing when it does not come in time, NotFound when the index was deleted.
    """
    deadline = time.monotonic() + REPAIR_WAIT_SECONDS
    while True:
        try:
            return read()
        except DamagedChunk as damage:
            require_kept(runtime, index)
            log.warning("a shard is lost or damaged", index_id=index.id, shard=shard, cause=str(damage))
            with lease_repair(runtime, index, shard) as is_ours:
                if is_ours:
                    _repair(runtime, index, shard)
                elif time.monotonic() > deadline:
                    raise ShardMissing(f"Shard {shard} is being computed again.", extra={"shard": shard}) from damage
                else:
                    runtime.stopping.wait(_LOOK_SECONDS)
                    check_stopping(runtime)


@contextmanager
def lease_repair(runtime: Runtime, index: Index, shard: int) -> Iterator[bool]:
    """Whether the shard is this thread's to repair; the lease is renewed until the block ends, or the process dies."""
    holder = f"{runtime.name}:{new_id('lease')}"
    data = runtime.store.index_data
    if not data.claim_repair(index.build, shard, holder):
        yield False
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(keys.REPAIR_SECONDS / _RENEWALS):
            try:
                data.renew_repair(index.build, shard, holder)
            except StoreError as error:
                log.warning("a repair's lease is not renewed", index_id=index.id, shard=shard, error=str(error))

    renewer = threading.Thread(target=renew, daemon=True, name="lease")
    renewer.start()
    try:
        yield True
    finally:
        ended.set()
        renewer.join()
        data.release_repair(index.build, shard, holder)


def _repair(runtime: Runtime, index: Index, shard: int) -> None:
    _, rows = collect_shard(runtime, index, shard, progress=None)
    rows.write()
    # The index's moments hold this shard's share since it was finished.
    runtime.store.index_data.delete_parts(index.build, shard_moments(shard))
    drop_if_deleted(runtime, index)
