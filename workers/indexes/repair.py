"""What was lost or damaged is computed again, never guessed."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from influence.contracts.index import Index
from influence.errors import ShardMissing
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
Loaded = TypeVar("Loaded")


def read_or_repair(runtime: Runtime, index: Index, shard: int, read: Callable[[], Loaded]) -> Loaded:
    """Read a shard; one worker computes it again if it is lost or damaged, the others wait for that one."""
    deadline = time.monotonic() + REPAIR_WAIT_SECONDS
    while True:
        try:
            return read()
        except DamagedChunk as damage:
            require_kept(runtime, index)
            log.warning("a shard is lost or damaged", index_id=index.id, shard=shard, cause=str(damage))
            if runtime.store.index_data.claim_repair(index.id, shard, runtime.name):
                _repair(runtime, index, shard)
            elif time.monotonic() > deadline:
                raise ShardMissing(f"Shard {shard} is being computed again.", extra={"shard": shard}) from damage
            else:
                runtime.stopping.wait(_LOOK_SECONDS)
                check_stopping(runtime)


def _repair(runtime: Runtime, index: Index, shard: int) -> None:
    try:
        _, rows = collect_shard(runtime, index, shard, progress=None)
        rows.write()
        # The index's moments hold this shard's share since it was finished.
        runtime.store.index_data.delete_parts(index.id, shard_moments(shard))
        drop_if_deleted(runtime, index)
    finally:
        runtime.store.index_data.release_repair(index.id, shard)
