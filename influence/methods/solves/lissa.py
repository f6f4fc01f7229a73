"""LiSSA: the block-diagonal Gauss-Newton solve by a truncated series.

With H = 1/n sum_i g_i g_i' + lambda I of a block, h_0 = step * v and

    h_{j+1} = h_j + step * (v - H h_j),        influence(v, k) = - <h, g_k>

`lissa` takes step = 1 / (1.1 * (largest eigenvalue + lambda)), so that the series converges whatever the gradients'
size. `lissa-paper` does what the DataInf paper's code does: step 1, h_0 = v, and damping with the wrong sign
(H - 2 lambda I in place of H), kept so that published numbers can be reproduced.
Source: Agarwal et al. 2017, LiSSA; Kwon et al. 2024, DataInf, equation 4.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from influence.arrays import Array, cast, namespace, transfer
from influence.damping import block_dampings
from influence.errors import MethodNotOffered
from influence.methods.algebra.blocks import (
    MOMENT_WIDTH_LIMIT,
    TrainBlock,
    Vectors,
    check_blocks,
    covariance_product,
    moment,
)
from influence.methods.base import LinearMethod

#: The step stays this much below the largest that is safe.
STEP_MARGIN = 1.1

#: Power iteration for the largest eigenvalue ends at this relative change, or after so many passes.
EIGENVALUE_TOLERANCE = 1e-7
EIGENVALUE_PASSES = 200

_SEED = 20240117


@dataclass(frozen=True, slots=True, eq=False)
class LissaState:
    """Per block: lambda as it enters H (negative in the paper's code), the step, and narrow blocks' moments."""

    blocks: Mapping[str, TrainBlock]
    dampings: Mapping[str, float]
    steps: Mapping[str, float]
    moments: Mapping[str, Array]


@dataclass(frozen=True)
class Lissa(LinearMethod[LissaState]):
    """`iterations` passes over the rows per query, over moments where blocks are narrow."""

    iterations: int = 200

    name: ClassVar[str] = "lissa"
    title: ClassVar[str] = "LiSSA (scaled)"
    summary: ClassVar[str] = "The exact block solve by a truncated series, with a step that converges."
    cost: ClassVar[str] = "hundreds of passes"
    default_damping_scale: ClassVar[float | None] = 1.0
    is_iterative: ClassVar[bool] = True
    stand_in: ClassVar[str | None] = "exact"

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> LissaState:
        rows = check_blocks(blocks)
        dampings = block_dampings(blocks, self.damping_scale(damping_scale))
        narrow = {name: block for name, block in blocks.items() if block.width <= min(rows, MOMENT_WIDTH_LIMIT)}
        moments = {name: moment(block) for name, block in narrow.items()}
        steps = {name: self.step(block, dampings[name], moments.get(name)) for name, block in blocks.items()}
        return LissaState(blocks, self.curvature_dampings(dampings), steps, moments)

    def directions(self, state: LissaState, test: Vectors) -> dict[str, Array]:
        with np.errstate(over="ignore", invalid="ignore"):
            turned = {name: self._sum_series(state, name, test[name]) for name in state.blocks}
        if not all(bool(namespace(part).isfinite(part).all()) for part in turned.values()):
            raise MethodNotOffered(
                f"The series of method '{self.name}' diverges on these gradients.",
                hint="Use method 'exact'"
                + (", or 'lissa', whose step fits the gradients." if self.name != "lissa" else ", or leave it out."),
            )
        return turned

    def step(self, block: TrainBlock, damping: float, known: Array | None) -> float:
        """Step of one block; 0, and so no contribution, where the block has no gradients."""
        return 1.0 / (STEP_MARGIN * (largest_eigenvalue(block, known) + damping)) if damping > 0 else 0.0

    def curvature_dampings(self, dampings: Mapping[str, float]) -> Mapping[str, float]:
        """lambda as it enters H."""
        return dampings

    def start(self, step: float) -> float:
        """h_0 over v."""
        return step

    def _sum_series(self, state: LissaState, name: str, test: Array) -> Array:
        block, step, damping = state.blocks[name], state.steps[name], state.dampings[name]
        vector = cast(test, block.dtype)
        summed = vector * self.start(step)
        for _ in range(self.iterations):
            turned = product(block, summed, state.moments.get(name)) + damping * summed
            summed = summed + step * (vector - turned)
        result: Array = summed
        return result


def product(block: TrainBlock, vectors: Array, known: Array | None) -> Array:
    """`1/n sum_i <v, x_i> x_i` for vectors (m, width), through the moment where it is known."""
    return covariance_product(block, vectors) if known is None else vectors @ known


def largest_eigenvalue(block: TrainBlock, known: Array | None = None) -> float:
    """Largest eigenvalue of `1/n sum_i x_i x_i'` by power iteration from a fixed random start, from below."""
    start = np.random.default_rng(_SEED).standard_normal((1, block.width))
    vector = transfer(start / np.linalg.norm(start), block.shards[0], block.dtype)
    value = 0.0
    for _ in range(EIGENVALUE_PASSES):
        turned = product(block, vector, known)
        wide = cast(turned, "float64")  # squares of float32 are none where gradients are below 1e-11
        length = math.sqrt(float((wide * wide).sum()))
        if length <= 0 or abs(length - value) <= EIGENVALUE_TOLERANCE * length:
            return length
        vector, value = turned / length, length
    return value
