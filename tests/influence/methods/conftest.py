"""Both array libraries, in turn."""

import numpy as np
import pytest
import torch


@pytest.fixture(params=["numpy", "torch"])
def convert(request):
    """Turns a float64 numpy array into an array of the library in a type of the same name."""

    def to_library(array, dtype="float64"):
        if request.param == "torch":
            return torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, dtype))
        return array.astype(dtype)

    return to_library
