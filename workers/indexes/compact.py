"""A compact index in memory: codes of all rows, and what turns a test gradient into a query vector."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact.arrays import Float32s
from influence.compact.codes import Codes, decode_codes, decode_norms
from influence.compact.encoder import Encoder, Projected
from influence.compact.factors import RowFactors, length_factors, self_influence_factors
from influence.compact.layout import Layout
from influence.compact.moments import Moments, damping_of_rows
from influence.compact.packing import unpack_moments
from influence.compact.query import (
    Inverse,
    invert_datainf,
    invert_exactly,
    invert_jointly,
    invert_nothing,
    invert_proximally,
    query_vectors,
    self_scores,
)
from influence.compact.rerank import block_scores, full_directions
from influence.compact.scan import scan_codes
from influence.contracts.index import Index
from influence.methods.normalised import inverse_roots
from influence.methods.registry import get_method
from workers.building.compact_rows import read_compact_rows
from workers.indexes.kernels import multiply_fastest
from workers.indexes.repair import read_or_repair
from workers.indexes.scan_batcher import ScanBatcher
from workers.runtime.basis_sample import MOMENTS
from workers.runtime.hot_indexes import ReadGradients, Scorer
from workers.runtime.lru import Lru
from workers.runtime.state import Runtime

#: Methods whose curvature codes can hold, and how it is inverted.
_INVERSES: dict[str, Callable[[Encoder, Moments, Sequence[float]], Inverse]] = {
    "datainf": invert_datainf,
    "exact": invert_exactly,
    "proximal": invert_proximally,
    "joint": invert_jointly,
    "hessian_free": lambda encoder, _moments, _damping: invert_nothing(encoder),
    "tracin": lambda encoder, _moments, _damping: invert_nothing(encoder),
    "cosine": lambda encoder, _moments, _damping: invert_nothing(encoder),
    "relative": invert_datainf,
}
#: Methods that divide by a size of the training row, and of those the ones that divide by the test gradient's too.
_ROW_FACTORS: dict[str, RowFactors] = {"cosine": length_factors, "relative": self_influence_factors}
_OF_TEST_LENGTH = frozenset({"cosine"})
_PREPARED_KEPT = 8
#: Recomputed gradients of candidates held at once, at most.
_GRADIENT_BYTES = 512 << 20


@dataclass(frozen=True)
class Prepared:
    """What all queries of a method at one damping share: the inverse curvature, and factors of rows (n,) if any."""

    inverse: Inverse
    row_factors: Float32s | None
    by_test_length: bool

    def factors(self, tests: Projected, rows: NDArray[np.int64] | slice) -> Float32s | None:
        """What scores (m, r) of some rows are multiplied by, None for nothing."""
        if self.row_factors is None:
            return None
        chosen = self.row_factors[rows][None, :]
        if not self.by_test_length:
            return chosen
        lengths = inverse_roots(tests.squared_norms.sum(1, dtype=np.float64))
        return np.asarray(lengths[:, None] * chosen, np.float32)


@dataclass
class CompactIndex:
    """Codes (n, P) and what belongs to them. `row_indexes` (n,) are data set rows, `losses` (n,) their own losses."""

    on_device: ClassVar[bool] = False

    encoder: Encoder
    moments: Moments
    codes: Codes
    row_indexes: NDArray[np.int64]
    losses: NDArray[np.float32]
    threads: int = 1
    _prepared: Lru[tuple[str, float | None], Prepared] = field(
        default_factory=lambda: Lru(_PREPARED_KEPT, reserve=1, serial=True)
    )
    scan: ScanBatcher = field(init=False)

    def __post_init__(self) -> None:
        self.scan = ScanBatcher(partial(scan_codes, self.codes, threads=self.threads, multiply=multiply_fastest))

    @property
    def bytes(self) -> int:
        """Memory that the rows take."""
        return self.codes.nbytes + self.row_indexes.nbytes + self.losses.nbytes

    def prepare(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Prepared:
        """What all queries of a method at one damping share; made once, and kept for the next unless told not to.

        Raises MethodNotOffered.
        """
        return self._prepared.get((method, damping_scale), lambda: self._prepare(method, damping_scale), keep=keep)

    def _prepare(self, method: str, damping_scale: float | None) -> Prepared:
        inverse = self._invert(method, damping_scale)
        make = _ROW_FACTORS.get(method)
        factors = None if make is None else make(self.encoder, inverse, self.codes)
        return Prepared(inverse, factors, method in _OF_TEST_LENGTH)

    def _invert(self, method: str, damping_scale: float | None) -> Inverse:
        if method == "joint" and self.moments.joint is None:
            self.moments = replace(self.moments, joint=sum_joint_moment(self.codes, self.encoder.layout))
        scale = get_method(method, "compact").damping_scale(damping_scale)
        return _INVERSES[method](
            self.encoder, self.moments, damping_of_rows(self.moments, self.encoder.parameters, scale)
        )

    def scorer(self, method: str, damping_scale: float | None, *, keep: bool = True) -> Scorer:
        """Scores all rows for test gradients by a method at one damping, prepared already."""
        return partial(self.score, self.prepare(method, damping_scale, keep=keep))

    def score(self, prepared: Prepared, test: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
        """Influence (m, n) of all rows on test gradients (m, d_l) a block: one pass over the codes."""
        tests = self.encoder.project([block.float() for block in test.values()])
        scores = self.scan(query_vectors(self.encoder.layout, prepared.inverse, tests.codes))
        if (factors := prepared.factors(tests, slice(None))) is not None:
            return np.multiply(scores, -factors, out=scores)
        return np.negative(scores, out=scores)

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
        tests = [block.float() for block in test.values()]
        directions = full_directions(self.encoder.basis, prepared.inverse, tests)
        sizes = [block.shape[1] for block in tests]
        parts = np.empty((len(tests), len(tests[0]), len(positions)))
        rows_at_once = max(1, _GRADIENT_BYTES // (4 * sum(sizes)))
        for start in range(0, len(positions), rows_at_once):
            piece = slice(start, start + rows_at_once)
            gradients = read_gradients(self.row_indexes[positions[piece]])
            parts[:, :, piece] = -block_scores(directions, torch.split(gradients, sizes, dim=1))
        factors = prepared.factors(self.encoder.project(tests), positions)
        return parts if factors is None else parts * factors

    def self_influence(self, method: str, damping_scale: float | None, rows: slice) -> NDArray[np.float32]:
        """Scores of consecutive rows, by position, on themselves: codes as far as they go, exact norms for the rest."""
        codes = self.codes.take(rows)
        decoded = self.encoder.layout.decode(decode_codes(codes))
        inverse = self.prepare(method, damping_scale).inverse
        scores = self_scores(inverse, decoded, decode_norms(codes.norms), self.encoder.basis.spans)
        return scores.astype(np.float32)


def sum_joint_moment(codes: Codes, layout: Layout) -> NDArray[np.float64]:
    """Sum of c c' over all blocks together, (K, K), from the stored numbers, in one pass."""
    total = np.zeros((layout.width, layout.width))
    for start in range(0, len(codes), 1 << 16):
        values = decode_codes(codes.take(slice(start, start + (1 << 16)))).astype(np.float64)
        total += values.T @ values
    unmix = layout.unmix.astype(np.float64)
    joint: NDArray[np.float64] = unmix.T @ total @ unmix
    return joint


def load_compact_index(runtime: Runtime, index: Index, report: Callable[[int], None]) -> CompactIndex:
    """Read an index of compact storage; a lost shard is computed again, `report` hears of rows loaded.

    Raises DamagedChunk when commits, basis or moments are lost.
    """
    data = runtime.store.index_data
    commits = data.require_commits(index.id, index.shards)
    encoder, _ = runtime.encoders.get(data, index)
    rows = read_compact_rows(
        data,
        index.id,
        commits,
        encoder.layout.width,
        len(index.blocks),
        dtype=index.spec.code_dtype,
        read_shard=partial(read_or_repair, runtime, index),
        report=report,
    )
    return CompactIndex(
        encoder=encoder,
        moments=unpack_moments(data.require_parts(index.id, MOMENTS)),
        codes=rows.codes,
        row_indexes=rows.row_indexes,
        losses=rows.losses,
        threads=torch.get_num_threads(),
    )
