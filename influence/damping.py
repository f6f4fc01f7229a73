"""Damping: how far the curvature of a block is trusted."""

import math
from collections.abc import Mapping
from typing import Protocol

from influence.arrays import Array, cast
from influence.contracts.common import MIN_DAMPING_SCALE
from influence.errors import InvalidRequest

#: Scale of the paper's code, whose constant 10 divides where this multiplies.
DEFAULT_DAMPING_SCALE = 0.1

#: The smallest normal number of float32: 1 / it is no infinity.
_SMALLEST = 2.0**-126


class Normed(Protocol):
    """A block as far as damping sees it."""

    @property
    def squared_norms(self) -> Array: ...

    @property
    def width(self) -> int: ...


def block_damping(mean_squared_norm: float, parameters: int, damping_scale: float) -> float:
    """`lambda_l = damping_scale * mean_i ||g_li||^2 / d_l`, d_l the block's true size also where codes are kept.

    Zero where every gradient of the block is zero (an untrained LoRA), or so small that float32 has no inverse of it.
    """
    found = damping_scale * mean_squared_norm / parameters
    return found if found >= _SMALLEST else 0.0


def block_dampings(blocks: Mapping[str, Normed], damping_scale: float) -> dict[str, float]:
    """Damping of every block. Raises InvalidRequest unless the scale is a usable number."""
    check_damping_scale(damping_scale)
    return {
        name: block_damping(_mean_squared_norm(block), block.width, damping_scale) for name, block in blocks.items()
    }


def even_dampings(blocks: Mapping[str, Normed], damping_scale: float) -> dict[str, float]:
    """The scale itself as every block's damping, 0 for a block without gradients. Raises as `block_dampings`."""
    check_damping_scale(damping_scale)
    return {name: damping_scale if _mean_squared_norm(block) > 0 else 0.0 for name, block in blocks.items()}


def check_damping_scale(damping_scale: float) -> None:
    """Raise InvalidRequest unless the scale is a usable number."""
    if not (math.isfinite(damping_scale) and damping_scale >= MIN_DAMPING_SCALE):
        raise InvalidRequest(
            f"damping_scale is {damping_scale}, but has to be a number of at least {MIN_DAMPING_SCALE:g}.",
            hint="Leave damping_scale out to use the method's default.",
        )


def inverse_damping(damping: float) -> float:
    """1/lambda; 0 where lambda is 0, so that a block without gradients contributes nothing rather than NaN."""
    return 1.0 / damping if damping > 0 else 0.0


def _mean_squared_norm(block: Normed) -> float:
    return float(cast(block.squared_norms, "float64").mean())
