"""A compact index whose rows lie with several workers: all that a compact index answers, by passes over its parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact.arrays import Float32s, Float64s
from influence.compact.partitions import Part, cut_rows
from influence.contracts.index import Index
from influence.methods.codes.form import CodeState
from workers.building.compact_rows import CompactRows
from workers.indexes.compact import CompactIndex, make_compact_index
from workers.indexes.partitions.fan_out import FanOut
from workers.indexes.partitions.looks import Look, Seen
from workers.indexes.partitions.part import keep_mean
from workers.indexes.repair import read_or_repair
from workers.indexes.scan_batcher import MAX_VECTORS, split_points
from workers.runtime.hot_indexes import POINTS_PER_PASS, Scorer
from workers.runtime.sharing.gathering import Gathering
from workers.runtime.state import Runtime
from workers.settings import WorkerSettings


@dataclass(frozen=True)
class _Asked:
    """Query vectors (m, P) made by a method at a damping."""

    method: str
    damping_scale: float | None
    vectors: Float32s


@dataclass
class PartitionedIndex(CompactIndex):
    """`rows` holds no codes, and what a query needs to know of them all; `job_id` is whose work asks."""

    fan_out: FanOut = field(kw_only=True)
    job_id: str = ""
    _passes: Gathering[_Asked, Float32s] = field(default_factory=Gathering)

    @property
    def bytes(self) -> int:
        return self.row_indexes.nbytes + self.losses.nbytes

    def asked_by(self, job_id: str) -> "PartitionedIndex":
        """The same for another job: it shows the progress of passes, and its end ends them."""
        return replace(self, job_id=job_id)

    def _prepare(self, method: str, damping_scale: float | None) -> CodeState:
        chosen = self._choose(method)
        assert chosen.on_codes is not None
        rows = replace(self.rows, read_mean=self._read_mean) if self.rows.read_mean is None else self.rows
        return chosen.on_codes.prepare_tests(rows, chosen.damping_scale(damping_scale))

    def scorer(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Scorer:
        """Scores all rows for test gradients by a method at one damping, prepared already."""
        return partial(self._score_by, method, damping_scale, self.prepare(method, damping_scale, keep=keep))

    def query_vectors(self, method: str, damping_scale: float | None, test: Mapping[str, torch.Tensor]) -> Float32s:
        """What parts are asked (m, P) for test gradients (m, d) per block."""
        prepared, points = self.prepare(method, damping_scale), len(next(iter(test.values())))
        pieces = (
            {name: values[start : start + POINTS_PER_PASS] for name, values in test.items()}
            for start in range(0, points, POINTS_PER_PASS)
        )
        return np.concatenate([prepared.vectors(self._project(piece)) for piece in pieces])

    def look(self, method: str, damping_scale: float | None, look: Look) -> list[Seen]:
        """What each part saw, in their order."""
        seen: dict[int, Seen] = {}

        def take(part: Part, found: NDArray[Any]) -> None:
            seen[part.number] = Seen.unpack(found)

        about = {"method": method, "damping_scale": damping_scale}
        self.fan_out.ask(self.job_id, "look", look.pack(), take, about=about)
        return [seen[part.number] for part in self.fan_out.parts]

    def _score_by(
        self, method: str, damping_scale: float | None, prepared: CodeState, test: Mapping[str, torch.Tensor]
    ) -> Float32s:
        asked = _Asked(method, damping_scale, prepared.vectors(self._project(test)))
        return self._passes.ask(asked, self._score_together, _fit_one_pass)

    def _score_together(self, asked: Sequence[_Asked]) -> list[Float32s]:
        vectors = np.concatenate([one.vectors for one in asked])
        scores = np.empty((len(vectors), len(self.row_indexes)), np.float32)
        first = asked[0]

        def take(part: Part, found: NDArray[Any]) -> None:
            scores[:, part.start : part.stop] = found

        about = {"method": first.method, "damping_scale": first.damping_scale}
        self.fan_out.ask(self.job_id, "score", vectors, take, about=about)
        return split_points(scores, [len(one.vectors) for one in asked])

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves. Raises MethodNotOffered for a method without."""
        self._choose(method).check_self_influence()
        start, stop, _ = rows.indices(len(self.row_indexes))
        found = np.empty(stop - start, np.float32)
        parts = [part for part in self.fan_out.parts if part.start < stop and start < part.stop]

        def within(part: Part) -> tuple[int, int]:
            return max(start, part.start) - part.start, min(stop, part.stop) - part.start

        def take(part: Part, own: NDArray[Any]) -> None:
            first = max(start, part.start) - start
            found[first : first + len(own)] = own

        about = {"method": method, "damping_scale": damping_scale, "rows": within}
        self.prepare(method, damping_scale)  # keeps what the parts prepare with
        self.fan_out.ask(self.job_id, "self_influence", np.zeros(1, np.float32), take, about=about, parts=parts)
        return found

    def _read_mean(self) -> Float64s:
        """1/n sum z z' (P, P), part after part: sums of another order would be others in the last bits."""
        return keep_mean(self.fan_out.runtime, self.fan_out.index, self._sum_stored)

    def _sum_stored(self) -> Float64s:
        width = self.rows.encoder.layout.width
        total = np.zeros((width, width))

        def take(_part: Part, found: NDArray[Any]) -> None:
            total[:] = found

        for part in self.fan_out.parts:
            self.fan_out.ask(self.job_id, "add_stored", total.copy(), take, parts=[part])
        return np.asarray(total / max(len(self.row_indexes), 1), np.float64)


def _fit_one_pass(chosen: Sequence[_Asked], other: _Asked) -> bool:
    alike = all((one.method, one.damping_scale) == (other.method, other.damping_scale) for one in chosen)
    return alike and sum(len(one.vectors) for one in (*chosen, other)) <= MAX_VECTORS


def is_partitioned(settings: WorkerSettings, index: Index) -> bool:
    """Whether a worker of these settings shares an index with the others: codes that do not fit its own memory."""
    size = (index.rows_indexed or 0) * (index.row_bytes or 0.0)
    return index.spec.storage == "compact" and settings.partition_bytes > 0 and size > settings.memory_budget_bytes


def load_partitioned_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> PartitionedIndex:
    """What is kept here of an index whose codes lie with all workers; `report` hears of rows read.

    Raises DamagedChunk when commits, basis or moments are lost.
    """
    commits = runtime.store.index_data.require_commits(index.build, index.shards)
    rows = sum(commit.rows for commit in commits)
    parts = cut_rows(rows, index.row_bytes or 0.0, runtime.settings.partition_bytes)
    row_indexes, losses, start = np.empty(rows, np.int64), np.empty(rows, np.float32), 0
    for commit in commits:
        own = slice(start, start + commit.rows)
        read_or_repair(
            runtime, index, commit.shard, partial(_read, runtime, index, commit.shard, row_indexes[own], losses[own])
        )
        start = own.stop
        report(start)
    return _make(runtime, index, parts, row_indexes, losses)


def _read(
    runtime: Runtime, index: Index, shard: int, row_indexes: NDArray[np.int64], losses: NDArray[np.float32]
) -> None:
    runtime.store.index_data.read_rows_into(index.build, shard, "kept", row_indexes)
    runtime.store.index_data.read_rows_into(index.build, shard, "losses", losses)


def _make(
    runtime: Runtime,
    index: Index,
    parts: Sequence[Part],
    row_indexes: NDArray[np.int64],
    losses: NDArray[np.float32],
) -> PartitionedIndex:
    encoder, _ = runtime.encoders.get(runtime.store.index_data, index)
    none = CompactRows.allocate(0, encoder.layout.width, len(index.blocks), index.spec.code_dtype)
    whole = make_compact_index(runtime, index, none)
    return PartitionedIndex(
        rows=whole.rows,
        row_indexes=row_indexes,
        losses=losses,
        threads=whole.threads,
        fan_out=FanOut(runtime, index, parts),
    )
