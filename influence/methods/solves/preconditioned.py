"""Preconditioned: the proximal product in the optimiser's metric, all blocks together.

    influence(v, k) = - <P^(1/2) v, (I + t G)^-1 P^(1/2) g_k>,   G = 1/n sum_i P^(1/2) g_i g_i' P^(1/2)

P is Adam's preconditioner as the rows' own gradients give it (influence.compact.preconditioning): in the coordinates
P^(1/2) g a step of Adam is a gradient step. The inverse holds back what the training set says anyway, as in `proximal`,
with one t for all parameters. t = 1 / damping_scale has a unit, that of a sum of learning rates; at endless damping P
alone is left, the product of gradients as Adam takes them. Source of the parts: Xia et al. 2024, LESS (influence by
Adam's steps); Rockafellar 1976, proximal point algorithm; what agrees with retraining is measured, see docs/method.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from influence.arrays import Array, cast, transfer
from influence.compact.arrays import Float64s
from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse
from influence.contracts.index import Metric
from influence.damping import even_dampings
from influence.methods.algebra.blocks import TrainBlock, Vectors
from influence.methods.algebra.rescaled import rescale_blocks
from influence.methods.base import LinearMethod, Scores
from influence.methods.codes.form import CodeForm
from influence.methods.solves.gauss_newton import GaussNewton, GaussNewtonState, Group


def invert_metric(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    """(1/(n lambda) sum c c' + I)^-1 over all blocks of a checkpoint together in code space.

    Of several checkpoints each has a filter of its own: codes c hold the root of its weight w, which the sum keeps, and
    1/(n lambda w) sum c c' is its own moment.
    """
    encoder, strength = rows.encoder, max(damping, default=0.0) or 1.0
    values, vectors = np.linalg.eigh(rows.mean_stored / strength)
    # Rows in the space of codes whose sum of squares is the moment: (r, K).
    roots = (vectors * np.sqrt(np.maximum(values, 0.0))).T @ encoder.layout.unmix.astype(np.float64)
    inside, places = [], []
    for blocks, weight in encoder.checkpoints:
        own = encoder.basis.spans[blocks]
        place = slice(own[0].start, own[-1].stop)
        inside.append(_hold_back(roots[:, place] / weight**0.5))
        places.append(place)
    return Inverse(tuple(inside), tuple(places), (np.asarray(damping) > 0).astype(np.float64))


def _hold_back(roots: Float64s) -> Float64s:
    """(R'R + I)^-1 (k, k) of R (r, k), by the system of order r."""
    system = np.eye(len(roots)) + roots @ roots.T
    return np.asarray(np.eye(roots.shape[1]) - roots.T @ np.linalg.solve(system, roots), np.float64)


def even_code_dampings(rows: CodedRows, damping_scale: float) -> list[float]:
    """The scale itself for every block that has gradients, as `even_dampings`."""
    return [damping_scale if energy > 0 else 0.0 for energy in rows.moments.energy.tolist()]


@dataclass(frozen=True)
class _Filter(GaussNewton):
    """The solve, for rows that are read in the metric already."""

    name: ClassVar[str] = "preconditioned"
    default_damping_scale: ClassVar[float | None] = 10.0

    def dampings(self, blocks: Mapping[str, TrainBlock], damping_scale: float) -> dict[str, float]:
        return even_dampings(blocks, damping_scale)

    def grouped(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(names)] if names else []

    def group_weight(self, group: Group) -> float:
        """lambda, the same for all blocks."""
        return 1.0 / next(iter(group.inverse.values()))


@dataclass(frozen=True, slots=True, eq=False)
class PreconditionedState:
    """The rows as they are, and the filter prepared from them in the metric; its blocks hold the roots of P."""

    blocks: Mapping[str, TrainBlock]
    filtered: GaussNewtonState

    def rescale(self, vectors: Vectors) -> dict[str, Array]:
        """`P^(1/2)` times vectors (m, width) per block, in the blocks' types."""
        found = {}
        for name, block in self.filtered.blocks.items():
            values = cast(vectors[name], block.dtype)
            found[name] = values * transfer(block.roots, values, block.dtype)
        return found


@dataclass(frozen=True)
class Preconditioned(LinearMethod[PreconditionedState]):
    """All blocks are one system, in the optimiser's metric; a query costs what one of `joint` costs."""

    name: ClassVar[str] = "preconditioned"
    title: ClassVar[str] = "Preconditioned (proximal product in the optimiser's metric)"
    summary: ClassVar[str] = "Gradient product as Adam takes its steps, less what the training set says anyway."
    cost: ClassVar[str] = "one pass; the first query factors one system"
    default_damping_scale: ClassVar[float | None] = 10.0
    metric: ClassVar[Metric] = "optimizer"
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_metric, dampings=even_code_dampings)
    solve: GaussNewton = _Filter()

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> PreconditionedState:
        return PreconditionedState(
            blocks, self.solve.prepare(rescale_blocks(blocks), self.damping_scale(damping_scale))
        )

    def directions(self, state: PreconditionedState, test: Vectors) -> dict[str, Array]:
        return state.rescale(self.solve.directions(state.filtered, state.rescale(test)))

    def apply(
        self, state: PreconditionedState, test: Vectors, *, rows: Array | None = None, per_block: bool = False
    ) -> Scores:
        return self.solve.apply(state.filtered, state.rescale(test), rows=rows, per_block=per_block)
