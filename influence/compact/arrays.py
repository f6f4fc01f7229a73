"""Array types of the compact index and the way from a device to the host."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from influence.arrays import Array

Float32s: TypeAlias = NDArray[np.float32]
Float64s: TypeAlias = NDArray[np.float64]


def to_numpy(array: Array) -> NDArray[Any]:
    """The array on the host. Tensors must not require a gradient."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)
