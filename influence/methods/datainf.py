"""DataInf: the closed form that swaps the mean of outer products' inverse for the mean of their inverses.

For a test gradient v and training gradients g_1..g_n, per block:

    influence(v, k) = - 1/lambda * ( <v, g_k> - 1/n * sum_i <v, g_i> <g_i, g_k> / (lambda + ||g_i||^2) )

With T (m x d) test and X (n x d) training gradients: `B = (T X') / (lambda + ||x_i||^2)`,
`R = (T - B X / n) / lambda`, `influence = - R X'`. Source: Kwon et al. 2024, DataInf, equation 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from influence.arrays import Array, cast
from influence.compact.coded_rows import CodedRows
from influence.compact.inverse import Inverse, invert_dampings
from influence.damping import DEFAULT_DAMPING_SCALE, block_dampings, inverse_damping
from influence.methods.algebra.blocks import (
    MOMENT_WIDTH_LIMIT,
    TrainBlock,
    Vectors,
    check_blocks,
    covariance_product,
    moment,
)
from influence.methods.base import LinearMethod
from influence.methods.codes.form import CodeForm


@dataclass(frozen=True, slots=True, eq=False)
class DataInfState:
    """Per block: lambda, the weights 1/(lambda + ||g_i||^2) (n,), and for narrow blocks the moment
    `1/n sum_i w_i x_i x_i'`."""

    blocks: Mapping[str, TrainBlock]
    dampings: Mapping[str, float]
    weights: Mapping[str, Array]
    moments: Mapping[str, Array]


def invert_datainf(rows: CodedRows, damping: Sequence[float]) -> Inverse:
    """(I - M_l) / lambda_l in code space. Any damping, without rebuilding."""
    outside = invert_dampings(damping)
    pairs = zip(rows.weighted_at(damping), outside, strict=True)
    inside = [(np.eye(len(block)) - block) * factor for block, factor in pairs]
    return Inverse(tuple(inside), rows.encoder.basis.spans, outside)


class DataInf(LinearMethod[DataInfState]):
    """Two passes over full gradients per query; one over codes."""

    name: ClassVar[str] = "datainf"
    title: ClassVar[str] = "DataInf"
    summary: ClassVar[str] = "Closed form of the DataInf paper: fast, and close to the same from compact codes."
    cost: ClassVar[str] = "two passes over full gradients, one over codes"
    default_damping_scale: ClassVar[float | None] = DEFAULT_DAMPING_SCALE
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_datainf)

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> DataInfState:
        rows = check_blocks(blocks)
        dampings = block_dampings(blocks, self.damping_scale(damping_scale))
        weights = {name: _weights(block, dampings[name]) for name, block in blocks.items()}
        narrow = {name: block for name, block in blocks.items() if block.width <= min(rows, MOMENT_WIDTH_LIMIT)}
        moments = {name: moment(block, weights[name]) for name, block in narrow.items()}
        return DataInfState(blocks, dampings, weights, moments)

    def directions(self, state: DataInfState, test: Vectors) -> dict[str, Array]:
        return {name: _direction(state, name, cast(test[name], block.dtype)) for name, block in state.blocks.items()}


def _weights(block: TrainBlock, damping: float) -> Array:
    norms = cast(block.squared_norms, block.dtype)
    result: Array = 1.0 / (norms + damping) if damping > 0 else norms * 0.0
    return result


def _direction(state: DataInfState, name: str, test: Array) -> Array:
    if name in state.moments:
        correction = test @ state.moments[name]
    else:
        correction = covariance_product(state.blocks[name], test, state.weights[name])
    result: Array = (test - correction) * inverse_damping(state.dampings[name])
    return result
