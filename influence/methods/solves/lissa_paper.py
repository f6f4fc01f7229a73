"""LiSSA as the DataInf paper's code has it: see `lissa` for the series.

Step 1 and `h_0 = v`, so it diverges where a block's largest eigenvalue passes 2, and lambda is subtracted where it
has to be added. Kept to reproduce published numbers; not a method to rely on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from influence.arrays import Array
from influence.damping import DEFAULT_DAMPING_SCALE
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.solves.lissa import Lissa


@dataclass(frozen=True)
class LissaPaper(Lissa):
    """Ten passes over the rows per query, as in the paper."""

    iterations: int = 10

    name: ClassVar[str] = "lissa-paper"
    title: ClassVar[str] = "LiSSA (the paper's code)"
    summary: ClassVar[str] = "LiSSA as published, damping with the wrong sign: to reproduce published numbers only."
    cost: ClassVar[str] = "tens of passes"
    default_damping_scale: ClassVar[float | None] = DEFAULT_DAMPING_SCALE
    has_self_influence: ClassVar[bool] = False

    def step(self, block: TrainBlock, damping: float, known: Array | None) -> float:
        return 1.0

    def curvature_dampings(self, dampings: Mapping[str, float]) -> Mapping[str, float]:
        return {name: -damping for name, damping in dampings.items()}

    def start(self, step: float) -> float:
        return 1.0
