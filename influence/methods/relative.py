"""Relative influence: DataInf over the root of the training row's influence on itself.

    influence(v, k) = datainf(v, k) / sqrt(self_influence(k))

An outlier that moves every test loss no longer tops every list. Source: Barshan et al. 2020, RelatIF (l-relative).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from influence.arrays import Array, inverse_roots
from influence.damping import DEFAULT_DAMPING_SCALE
from influence.methods.algebra.blocks import TrainBlock, Vectors
from influence.methods.base import Method, Scores
from influence.methods.codes.form import CodeForm, squared_self_influence
from influence.methods.datainf import DataInf, DataInfState, invert_datainf

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
    on_codes: ClassVar[CodeForm | None] = CodeForm(invert_datainf, squared_self_influence)

    def prepare(self, blocks: Mapping[str, TrainBlock], damping_scale: float | None = None) -> RelativeState:
        inner = _DATAINF.prepare(blocks, self.damping_scale(damping_scale))
        return RelativeState(inner, inverse_roots(_DATAINF.self_influence(inner)))

    def apply(
        self, state: RelativeState, test: Vectors, *, rows: Array | None = None, per_block: bool = False
    ) -> Scores:
        scores = _DATAINF.apply(state.inner, test, rows=rows, per_block=per_block)
        return scores.rescale(None, state.row_factors if rows is None else state.row_factors[rows])
