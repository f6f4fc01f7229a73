"""A full index in memory: every gradient, as it was stored."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from influence.contracts.index import Index, ShardCommit
from influence.methods.base import Scores
from influence.methods.blocks import TrainBlock
from influence.methods.registry import get_method
from workers.runtime import Runtime
from workers.scoring.repair import read_or_repair

#: Prepared states kept an index: methods and dampings that people switch between.
_STATES_KEPT = 4


@dataclass
class FullIndex:
    """`blocks` holds the training gradients on the worker's device, `row_indexes` (n,) the data set rows they
    belong to, `losses` (n,) each row's own loss.
    """

    blocks: Mapping[str, TrainBlock]
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]
    bytes: int
    _states: OrderedDict[tuple[str, float | None], Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def score(self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
        """Influence (m, n) of all rows on test gradients (m, d) a block."""
        influence = self._apply(method, damping_scale, test).influence
        scores: NDArray[np.float32] = influence.float().cpu().numpy()
        return scores

    def share_blocks(
        self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor], rows: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float32]]:
        """Each block's part (m, r) of the influence of some rows, given by position in this index."""
        parts = self._apply(method, damping_scale, test, rows=rows, per_block=True).blocks or {}
        return {name: values.float().cpu().numpy() for name, values in parts.items()}

    def prepare(self, method: str, damping_scale: float | None) -> None:
        """Do what all questions by a method share now rather than with the first of them."""
        self._state(method, damping_scale)

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves. Raises MethodNotOffered for a method without."""
        found = get_method(method).self_influence(self._state(method, damping_scale), rows)
        scores: NDArray[np.float32] = found.float().cpu().numpy()
        return scores

    def _apply(self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor], **how: Any) -> Scores:
        scores: Scores = get_method(method).apply(self._state(method, damping_scale), test, **how)
        return scores

    def _state(self, method: str, damping_scale: float | None) -> Any:
        key = (method, damping_scale)
        with self._lock:
            if key not in self._states:
                while len(self._states) >= _STATES_KEPT:
                    self._states.popitem(last=False)
                self._states[key] = get_method(method).prepare(self.blocks, damping_scale)
            self._states.move_to_end(key)
            return self._states[key]


def load_full_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> FullIndex:
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
    return FullIndex(
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
