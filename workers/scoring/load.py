"""From Redis into a hot index; what was lost or damaged is computed again, never guessed."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from influence.contracts.index import Index, ShardCommit
from influence.errors import ShardMissing
from influence.methods.blocks import TrainBlock
from influence.store.chunks import DamagedChunk
from workers.building.shard import collect_shard, write_shard
from workers.runtime import Runtime
from workers.scoring.hot import HotIndex

log = structlog.get_logger()

#: How long a query waits for another worker that is computing a lost shard again.
REPAIR_WAIT_SECONDS = 120.0
_LOOK_SECONDS = 0.25
Loaded = TypeVar("Loaded")


def load_full_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> HotIndex:
    """Read an index of full storage onto the device; `report` hears of rows loaded.

    Raises ShardMissing when a lost shard is being computed by someone else and does not come in time.
    """
    commits = runtime.store.index_data.commits(index.id)
    shards = []
    for shard in range(index.shards):
        shards.append(read_or_repair(runtime, index, shard, partial(_read, runtime, index, commits[shard])))
        report(sum(len(loaded["kept"]) for loaded in shards))
    shards = [loaded for loaded in shards if len(loaded["kept"])]
    norms = np.concatenate([loaded["norms"] for loaded in shards])
    blocks = {
        block.name: TrainBlock(
            gradients=tuple(_to_device(loaded["gradients"][number], runtime.device) for loaded in shards),
            squared_norms=_to_device(np.ascontiguousarray(norms[:, number]), runtime.device),
            parameters=block.parameters,
        )
        for number, block in enumerate(index.blocks)
    }
    return HotIndex(
        blocks=blocks,
        row_indexes=np.concatenate([loaded["kept"] for loaded in shards]),
        losses=np.concatenate([loaded["losses"] for loaded in shards]),
        bytes=sum(array.nbytes for loaded in shards for array in loaded["gradients"]) + norms.nbytes,
    )


def _to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).to(device)


def _read(runtime: Runtime, index: Index, commit: ShardCommit) -> dict[str, Any]:
    data, shard, rows, blocks = runtime.store.index_data, commit.shard, commit.rows, len(index.blocks)
    return {
        "kept": data.read_rows(index.id, shard, "kept", (rows,), "int64"),
        "norms": data.read_rows(index.id, shard, "norms", (rows, blocks), "float32"),
        "losses": data.read_rows(index.id, shard, "losses", (rows,), "float32"),
        "gradients": [
            data.read_gradients(index.id, shard, number, (rows, block.parameters), index.spec.storage_dtype)
            for number, block in enumerate(index.blocks)
        ],
    }


def read_or_repair(runtime: Runtime, index: Index, shard: int, read: Callable[[], Loaded]) -> Loaded:
    """Read a shard; one worker computes it again if it is lost or damaged, the others wait for that one."""
    deadline = time.monotonic() + REPAIR_WAIT_SECONDS
    while True:
        try:
            return read()
        except DamagedChunk as damage:
            log.warning("a shard is lost or damaged", index_id=index.id, shard=shard, cause=str(damage))
            if runtime.store.index_data.claim_repair(index.id, shard, runtime.name):
                _repair(runtime, index, shard)
            elif time.monotonic() > deadline:
                raise ShardMissing(f"Shard {shard} is being computed again.", extra={"shard": shard}) from damage
            else:
                runtime.stopping.wait(_LOOK_SECONDS)
                runtime.check_stopping()


def _repair(runtime: Runtime, index: Index, shard: int) -> None:
    try:
        _, rows = collect_shard(runtime, index, shard, progress=None)
        write_shard(runtime, index, shard, rows)
    finally:
        runtime.store.index_data.release_repair(index.id, shard)
