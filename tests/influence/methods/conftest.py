"""Both array libraries, in turn."""

from typing import Any

import numpy as np
import pytest
from support.gradients.dense_algebra import Convert


@pytest.fixture(params=["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def convert(request: pytest.FixtureRequest) -> Convert:
    """Turns a float64 numpy array into an array of the library in a type of the same name."""

    def to_library(array: Any, dtype: str = "float64") -> Any:
        if request.param == "torch":
            torch = request.getfixturevalue("torch")
            return torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, dtype))
        return array.astype(dtype)

    return to_library
