"""A compact index in memory: codes of all rows, and what turns a test gradient into a query vector."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import Projected
from influence.compact.packing import unpack_moments
from influence.compact.scan import scan_codes
from influence.contracts.index import Index, ShardCommit
from influence.methods.base import Method, require_linear
from influence.methods.codes.form import CodeState
from influence.methods.registry import check_metric, get_method
from influence.process.lru import Lru
from workers.building.compact_rows import CompactRows, read_compact_rows
from workers.indexes.kernels import multiply_fastest
from workers.indexes.repair import read_or_repair
from workers.indexes.scan_batcher import MAX_VECTORS, ScanBatcher, split_points
from workers.runtime.basis_sample import MOMENTS
from workers.runtime.hot_indexes import ReadGradients, Scorer
from workers.runtime.sharing.gathering import Gathering
from workers.runtime.state import Runtime

_PREPARED_KEPT = 8
#: Recomputed gradients of candidates held at once, at most.
_GRADIENT_BYTES = 512 << 20


@dataclass
class CompactIndex:
    """`rows` (n,) as codes; `row_indexes` (n,) are data set rows, `losses` (n,) their own losses."""

    on_device: ClassVar[bool] = False

    rows: CodedRows
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]
    threads: int = 1
    _prepared: Lru[tuple[str, float | None], CodeState] = field(
        default_factory=lambda: Lru(_PREPARED_KEPT, reserve=1, serial=True)
    )
    scan: ScanBatcher = field(init=False)
    _projections: Gathering[Sequence[torch.Tensor], Projected] = field(default_factory=Gathering)

    def __post_init__(self) -> None:
        self.scan = ScanBatcher(partial(scan_codes, self.rows.codes, threads=self.threads, multiply=multiply_fastest))

    @property
    def bytes(self) -> int:
        """Memory that the rows take."""
        return self.rows.codes.nbytes + self.row_indexes.nbytes + self.losses.nbytes

    def prepare(self, method: str, damping_scale: float | None, *, keep: bool = True) -> CodeState:
        """What all queries of a method at one damping share; made once, and kept for the next unless told not to.

        Raises MethodNotOffered.
        """
        return self._prepared.get((method, damping_scale), lambda: self._prepare(method, damping_scale), keep=keep)

    def _choose(self, method: str) -> Method[Any]:
        chosen = get_method(method, "compact")
        check_metric(chosen, self.rows.encoder.metric)
        return chosen

    def _prepare(self, method: str, damping_scale: float | None) -> CodeState:
        chosen = self._choose(method)
        assert chosen.on_codes is not None  # or it would not be offered on this storage
        return chosen.on_codes.prepare(self.rows, chosen.damping_scale(damping_scale))

    def scorer(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Scorer:
        """Scores all rows for test gradients by a method at one damping, prepared already."""
        return partial(self.score, self.prepare(method, damping_scale, keep=keep))

    def score(self, prepared: CodeState, test: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
        """Influence (m, n) of all rows on test gradients (m, d_l) per block: one pass over the codes."""
        return prepared.finish(self.scan(prepared.vectors(self._project(test))))

    def _project(self, test: Mapping[str, torch.Tensor]) -> Projected:
        blocks = [block.float() for block in test.values()]
        return self._projections.ask(blocks, self._project_together, _fit_one_pass)

    def _project_together(self, asked: Sequence[Sequence[torch.Tensor]]) -> list[Projected]:
        """Codes of each one's test gradients (m, d_l) per block: one pass over the basis."""
        joined = [torch.cat(parts) for parts in zip(*asked, strict=True)] if len(asked) > 1 else asked[0]
        found = self.rows.encoder.project(joined)
        counts = [len(blocks[0]) for blocks in asked]
        parts = zip(split_points(found.codes, counts), split_points(found.squared_norms, counts), strict=True)
        return [Projected(codes, norms) for codes, norms in parts]

    def block_contributions(
        self,
        method: str,
        damping_scale: float | None,
        test: Mapping[str, torch.Tensor],
        positions: NDArray[np.int64],
        read_gradients: ReadGradients,
    ) -> NDArray[np.float64]:
        """The blocks' parts (blocks, m, r) of the influence of some rows, exact: codes do not tell blocks apart."""
        prepared = self.prepare(method, damping_scale)
        directions = prepared.directions([block.float() for block in test.values()])
        sizes = [block.shape[1] for block in directions]
        parts = np.empty((len(directions), len(directions[0]), len(positions)))
        rows_at_once = max(1, _GRADIENT_BYTES // (4 * sum(sizes)))
        for start in range(0, len(positions), rows_at_once):
            piece = slice(start, start + rows_at_once)
            gradients = read_gradients(self.row_indexes[positions[piece]])
            parts[:, :, piece] = prepared.share_blocks(directions, torch.split(gradients, sizes, dim=1))
        return parts

    def directions(
        self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor]
    ) -> list[torch.Tensor]:
        """What test gradients (m, d) per block become, block by block. Raises MethodNotOffered for a method that is
        not linear."""
        require_linear(get_method(method, "compact"))
        found = self.prepare(method, damping_scale).directions([block.float() for block in test.values()])
        return [torch.as_tensor(directions) for directions in found]

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves. Raises MethodNotOffered for a method without."""
        get_method(method, "compact").check_self_influence()
        return self.prepare(method, damping_scale).self_influence(rows).astype(np.float32)


def _fit_one_pass(chosen: Sequence[Sequence[torch.Tensor]], other: Sequence[torch.Tensor]) -> bool:
    return sum(len(blocks[0]) for blocks in (*chosen, other)) <= MAX_VECTORS


def load_compact_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> CompactIndex:
    """Read an index of compact storage; a lost shard is computed again, `report` hears of rows loaded.

    Raises DamagedChunk when commits, basis or moments are lost.
    """
    commits = runtime.store.index_data.require_commits(index.build, index.shards)
    return make_compact_index(runtime, index, read_shards(runtime, index, commits, report))


def read_shards(
    runtime: Runtime, index: Index, commits: Sequence[ShardCommit], report: Callable[[int], None]
) -> CompactRows:
    """Rows of some shards, one after another; a lost one is computed again.

    Raises DamagedChunk when the basis is lost.
    """
    encoder, _ = runtime.encoders.get(runtime.store.index_data, index)
    return read_compact_rows(
        runtime.store.index_data,
        index.build,
        commits,
        encoder.layout.width,
        len(index.blocks),
        dtype=index.spec.code_dtype,
        read_shard=partial(read_or_repair, runtime, index),
        report=report,
    )


def make_compact_index(runtime: Runtime, index: Index, stored: CompactRows) -> CompactIndex:
    """Rows of an index with what its queries need. Raises DamagedChunk when basis or moments are lost."""
    data = runtime.store.index_data
    encoder, _ = runtime.encoders.get(data, index)
    return CompactIndex(
        rows=CodedRows(encoder, unpack_moments(data.require_parts(index.build, MOMENTS)), stored.codes),
        row_indexes=stored.row_indexes,
        losses=stored.losses,
        threads=torch.get_num_threads(),
    )
