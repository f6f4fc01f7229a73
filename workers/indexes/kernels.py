"""The product of codes and query vectors that is fastest on this machine: numkong's or torch's.

torch's is up to three times faster for narrow rows and slower for wide ones; where they cross depends on the
processor. The choice is made by a trial of about a tenth of a second, once a width, which also holds torch to
exactness: on processors without 8-bit dot products it saturates (pytorch issue 136746), and a width of 1 goes wrong
everywhere.
"""

import time
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact import scan
from influence.compact.scan import Multiply, multiply_bytes

_EXACT_ROWS = 4096
#: More than a processor's caches hold: from cache torch wins where from memory, as in a scan, it loses.
_TRIAL_BYTES = 64 << 20
_PIECE_ROWS = 1 << 15
_TRIALS = 2
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


def multiply_in_floats(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same by float64, for a machine on which nothing else is exact."""
    return (vectors.astype(np.float64) @ values.astype(np.float64).T).astype(np.int32)


@cache
def _choose(width: int, vectors: int) -> Multiply:
    values, tests = _extreme_bytes(_EXACT_ROWS, width), _extreme_bytes(vectors, width)
    expected = tests.astype(np.float64) @ values.astype(np.float64).T
    offered = [multiply_with_torch] if scan.numkong is None else [multiply_bytes, multiply_with_torch]
    exact = [kernel for kernel in offered if np.array_equal(kernel(values, tests), expected)]
    if len(exact) < 2:
        return exact[0] if exact else multiply_in_floats
    streamed = np.resize(values, (_TRIAL_BYTES // width, width))
    return min(exact, key=lambda kernel: _seconds(kernel, streamed, tests))


def _extreme_bytes(rows: int, width: int) -> NDArray[np.int8]:
    """Every second row random, the others the largest and the smallest byte throughout: what saturates, does."""
    values = np.random.default_rng(0).integers(-127, 128, (rows, width), dtype=np.int8)
    values[0::4], values[2::4] = 127, -127
    return values


def _seconds(kernel: Multiply, values: NDArray[np.int8], tests: NDArray[np.int8]) -> float:
    """The best of a few passes: whatever else the machine does only adds."""
    seen = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        for start in range(0, len(values), _PIECE_ROWS):
            kernel(values[start : start + _PIECE_ROWS], tests)
        seen.append(time.perf_counter() - started)
    return min(seen)
