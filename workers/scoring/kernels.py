"""The product of codes and query vectors that is fastest on this machine: numkong's or torch's.

torch's is up to three times faster for narrow rows and slower for wide ones; where they cross depends on the
processor. Both are exact, so the choice is made by a trial of about a millisecond, once a width.
"""

import time
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact import scan
from influence.compact.scan import Multiply, multiply_bytes

_TRIAL_ROWS = 8192
_TRIALS = 5
#: A kernel for one vector and one for many: the trial's number of vectors stands for all above one.
_MANY = 8


def multiply_fastest(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> NDArray[np.int32]:
    """Products (m, rows) int32 of int8 codes (rows, P) with int8 vectors (m, P)."""
    return _choose(values.shape[1], 1 if len(vectors) == 1 else _MANY)(values, vectors)


def multiply_with_torch(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same by torch, whose product of bytes is its backend for quantised layers."""
    products: NDArray[np.int32] = torch._int_mm(
        torch.from_numpy(values), torch.from_numpy(np.ascontiguousarray(vectors.T))
    ).numpy()
    return products.T


@cache
def _choose(width: int, vectors: int) -> Multiply:
    kernels = [multiply_with_torch] if scan.numkong is None else [multiply_bytes, multiply_with_torch]
    rng = np.random.default_rng(0)
    values, tests = (rng.integers(-127, 128, (rows, width), dtype=np.int8) for rows in (_TRIAL_ROWS, vectors))
    return min(kernels, key=lambda kernel: _seconds(kernel, values, tests))


def _seconds(kernel: Multiply, values: NDArray[np.int8], tests: NDArray[np.int8]) -> float:
    """The best of a few trials: whatever else the machine does only adds."""
    seen = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        kernel(values, tests)
        seen.append(time.perf_counter() - started)
    return min(seen)
