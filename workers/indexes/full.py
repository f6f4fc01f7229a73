"""A full index in memory: every gradient, as it was stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from influence.arrays import cast, on_host
from influence.contracts.index import Index, ShardCommit
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.kronecker_factors import Pair
from influence.methods.algebra.rescaled import with_roots
from influence.methods.base import Method, require_linear
from influence.methods.registry import get_method
from influence.process.lru import Lru
from workers.building.kronecker import read_factors
from workers.indexes.repair import read_or_repair
from workers.indexes.scan_batcher import MAX_VECTORS, split_points
from workers.runtime.hot_indexes import ReadGradients, Scorer
from workers.runtime.sharing.gathering import Gathering
from workers.runtime.state import Runtime

#: Prepared methods kept an index: those and the dampings that people switch between.
_PREPARED_KEPT = 4


@dataclass(frozen=True)
class PreparedMethod:
    """A method and what it prepared from an index at one damping, and the passes over its gradients."""

    method: Method[Any]
    state: Any
    passes: Gathering[Mapping[str, torch.Tensor], NDArray[np.float32]] = field(default_factory=Gathering)

    def score_together(self, tests: Sequence[Mapping[str, torch.Tensor]]) -> list[NDArray[np.float32]]:
        """Influence (m, n) on each one's test gradients (m, d) per block, in one pass over the rows'."""
        joined = tests[0] if len(tests) == 1 else {name: torch.cat([test[name] for test in tests]) for name in tests[0]}
        influence = on_host(cast(self.method.apply(self.state, joined).influence, "float32"))
        return split_points(influence, [_count(test) for test in tests])


@dataclass
class FullIndex:
    """`blocks` holds the training gradients on the worker's device, `row_indexes` (n,) the data set rows they
    belong to, `losses` (n,) each row's own loss. `read_factors` gives the Kronecker factors of blocks that have any;
    the optimiser's metric is that of a training of `batch_rows` rows per step.
    """

    on_device: ClassVar[bool] = True

    blocks: Mapping[str, TrainBlock]
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]
    bytes: int
    read_factors: Callable[[], Mapping[str, Pair]] = dict
    batch_rows: int = 1
    _prepared: Lru[tuple[str, float | None], PreparedMethod] = field(
        default_factory=lambda: Lru(_PREPARED_KEPT, reserve=1, serial=True)
    )

    def prepare(self, method: str, damping_scale: float | None, *, keep: bool = True) -> PreparedMethod:
        """What all queries of a method at one damping share; made once, and kept for the next unless told not to."""
        return self._prepared.get((method, damping_scale), lambda: self._prepare(method, damping_scale), keep=keep)

    def _prepare(self, method: str, damping_scale: float | None) -> PreparedMethod:
        chosen = get_method(method)
        factors = self.read_factors() if chosen.needs_factors else {}
        blocks = {name: replace(block, factors=factors.get(name)) for name, block in self.blocks.items()}
        if chosen.metric == "optimizer":
            blocks = with_roots(blocks, self.batch_rows)
        return PreparedMethod(chosen, chosen.prepare(blocks, damping_scale))

    def scorer(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Scorer:
        """Scores all rows for test gradients by a method at one damping, prepared already."""
        return partial(self.score, self.prepare(method, damping_scale, keep=keep))

    def score(self, prepared: PreparedMethod, test: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
        """Influence (m, n) of all rows on test gradients (m, d) a block."""
        return prepared.passes.ask(test, prepared.score_together, _fit_one_pass)

    def block_contributions(
        self,
        method: str,
        damping_scale: float | None,
        test: Mapping[str, torch.Tensor],
        positions: NDArray[np.int64],
        read_gradients: ReadGradients,
    ) -> NDArray[np.float64]:
        """The blocks' parts (blocks, m, r) of the influence of some rows; their gradients are here."""
        prepared = self.prepare(method, damping_scale)
        parts = prepared.method.apply(prepared.state, test, rows=positions, per_block=True).blocks or {}
        return np.stack([on_host(cast(parts[name], "float64")) for name in self.blocks])

    def directions(
        self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor]
    ) -> list[torch.Tensor]:
        """What test gradients (m, d) per block become, block by block. Raises MethodNotOffered for a method that is
        not linear."""
        prepared = self.prepare(method, damping_scale)
        found = require_linear(prepared.method).directions(prepared.state, test)
        return [torch.as_tensor(found[name]) for name in self.blocks]

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves. Raises MethodNotOffered for a method without."""
        prepared = self.prepare(method, damping_scale)
        influence = prepared.method.self_influence(prepared.state, rows)
        return on_host(cast(influence, "float32"))


def _fit_one_pass(chosen: Sequence[Mapping[str, torch.Tensor]], other: Mapping[str, torch.Tensor]) -> bool:
    return sum(map(_count, (*chosen, other))) <= MAX_VECTORS


def _count(test: Mapping[str, torch.Tensor]) -> int:
    return len(next(iter(test.values())))


def load_full_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> FullIndex:
    """Read an index of full storage onto the device; `report` hears of rows loaded.

    Raises DamagedChunk when commits are lost, ShardMissing when a lost shard is being computed by someone else and does
    not come in time.
    """
    shards = []
    for commit in runtime.store.index_data.require_commits(index.build, index.shards):
        shards.append(read_or_repair(runtime, index, commit.shard, partial(_read, runtime, index, commit)))
        report(sum(len(loaded["kept"]) for loaded in shards))
    shards = [loaded for loaded in shards if len(loaded["kept"])]
    norms = np.concatenate([loaded["norms"] for loaded in shards])
    blocks = {
        block.name: TrainBlock(
            gradients=tuple(_to_device(loaded["gradients"][number], runtime.device) for loaded in shards),
            squared_norms=_to_device(np.ascontiguousarray(norms[:, number]), runtime.device),
        )
        for number, block in enumerate(index.blocks)
    }
    return FullIndex(
        blocks=blocks,
        row_indexes=np.concatenate([loaded["kept"] for loaded in shards]),
        losses=np.concatenate([loaded["losses"] for loaded in shards]),
        bytes=sum(array.nbytes for loaded in shards for array in loaded["gradients"]) + norms.nbytes,
        read_factors=partial(read_factors, runtime.store.index_data, index),
        batch_rows=index.spec.batch_rows,
    )


def _to_device(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).to(device)


def _read(runtime: Runtime, index: Index, commit: ShardCommit) -> dict[str, Any]:
    data, shard, rows, blocks = runtime.store.index_data, commit.shard, commit.rows, len(index.blocks)
    return {
        "kept": data.read_rows(index.build, shard, "kept", (rows,), "int64"),
        "norms": data.read_rows(index.build, shard, "norms", (rows, blocks), "float32"),
        "losses": data.read_rows(index.build, shard, "losses", (rows,), "float32"),
        "gradients": [
            data.read_gradients(index.build, shard, number, (rows, block.parameters), index.spec.storage_dtype)
            for number, block in enumerate(index.blocks)
        ],
    }
