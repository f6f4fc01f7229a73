"""Relative influence: DataInf over the root of the training row's influence on itself.

    influence(v, k) = datainf(v, k) / sqrt(self_influence(k))

An outlier that moves every test loss no longer tops every list. Source: Barshan et al. 2020, RelatIF (l-relative).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from influence.arrays import Array
from influence.damping import DEFAULT_DAMPING_SCALE
from influence.methods.algebra.blocks import TrainBlock, Vectors
from influence.methods.base import Method, Scores
from influence.methods.datainf import DataInf, DataInfState
from influence.methods.normalised import inverse_roots, rescale

_DATAINF = DataInf()


@dataclass(frozen=True, slots=True, eq=False)
class RelativeState:
    """DataInf's state and 1/sqrt(self-influence) of every row (n,)."""

    inner: DataInfState
    row_factors: Array

    @property
    def blocks(self) -> Mapping[str, TrainBlock]:
        return self.inner.blocks


class Relative(Method[RelativeState]):
    """A query costs what DataInf's costs; preparing compares every row with all, or with the moment of codes."""

    name: ClassVar[str] = "relative"
    title: ClassVar[str] = "Relative influence (DataInf)"
    summary: ClassVar[str] = "DataInf over the root of self-influence: what is helpful for this point in particular."
    cost: ClassVar[str] = "two passes; the first query compares every row with all"
    default_damping_scale: ClassVar[float | None] = DEFAULT_DAMPING_SCALE
    has_self_influence: ClassVar[bool] = False

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> RelativeState:
        inner = _DATAINF.prepare(blocks, self.damping_scale(damping_scale))
        return RelativeState(inner, inverse_roots(_DATAINF.self_influence(inner)))

    def apply(
        self,
        state: RelativeState,
        test: Vectors,
        *,
        rows: Array | None = None,
        per_block: bool = False,
        test_squared_norms: Array | None = None,
    ) -> Scores:
        scores = _DATAINF.apply(state.inner, test, rows=rows, per_block=per_block)
        return rescale(scores, None, state.row_factors if rows is None else state.row_factors[rows])
