"""The product of codes and query vectors that is fastest on this machine: one of numkong's two or torch's.

Which one that is depends on the processor and on the width of the rows, by factors of three either way. Each takes a
few pieces of the first scan in turn, so that finding out costs no pass of its own. Before that it is held to exactness:
on processors without 8-bit dot products torch saturates (pytorch issue 136746), and a width of 1 goes wrong everywhere.
"""

import time
from collections.abc import Sequence
from functools import cache
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from influence.compact import scan
from influence.compact.scan import Multiply, Products, multiply_by_rows, multiply_packed

_EXACT_ROWS = 4096
#: Pieces that each kernel takes before one is chosen, by its fastest: whatever else the machine does only adds. Smaller
#: pieces tell nothing, and do not matter.
_TRIALS, _TRIAL_ROWS = 4, 4096
#: One that took so many times as long is tried no further.
_HOPELESS = 3.0
#: A kernel for one vector and one for many; exactness is tried with so many.
_MANY = 8


def multiply_fastest(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
    """Products (m, rows) of int8 codes (rows, P) with int8 vectors (m, P)."""
    return choose_kernel(values.shape[1], 1 if len(vectors) == 1 else _MANY)(values, vectors)


def multiply_with_torch(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same by torch, whose product of bytes is its backend for quantised layers."""
    products: NDArray[np.int32] = torch._int_mm(
        torch.from_numpy(values), torch.from_numpy(np.ascontiguousarray(vectors.T))
    ).numpy()
    return products.T


def multiply_in_floats(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same by float64, for a machine on which nothing else is exact."""
    return (vectors.astype(np.float64) @ values.astype(np.float64).T).astype(np.int32)


class Fastest:
    """Of `kernels` that give the same numbers the fastest, known once each has had its pieces. From many threads."""

    def __init__(self, kernels: Sequence[Multiply]) -> None:
        self._seconds: dict[Multiply, list[float]] = {kernel: [] for kernel in kernels}
        self._lock = Lock()
        self.chosen: Multiply | None = kernels[0] if len(kernels) == 1 else None

    def __call__(self, values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
        kernel = self.chosen or self._next()
        if self.chosen is not None or len(values) < _TRIAL_ROWS:
            return kernel(values, vectors)
        started = time.perf_counter()
        products = kernel(values, vectors)
        self._learn(kernel, (time.perf_counter() - started) / products.size)
        return products

    def _next(self) -> Multiply:
        return min(self._wanting() or self._seconds, key=lambda kernel: len(self._seconds[kernel]))

    def _learn(self, kernel: Multiply, seconds: float) -> None:
        with self._lock:
            self._seconds[kernel].append(seconds)
            if not self._wanting():
                self.chosen = min(self._seconds, key=lambda one: min(self._seconds[one]))

    def _wanting(self) -> list[Multiply]:
        """Who has not had all pieces, but for those that are far behind already."""
        best = min((min(seen) for seen in self._seconds.values() if seen), default=0.0)
        return [
            kernel
            for kernel, seen in self._seconds.items()
            if not seen or (len(seen) < _TRIALS and min(seen) < _HOPELESS * best)
        ]


@cache
def choose_kernel(width: int, vectors: int) -> Fastest:
    """The kernel for rows of a width and for so many vectors, of those that are exact."""
    values, tests = _extreme_bytes(_EXACT_ROWS, width), _extreme_bytes(vectors, width)
    expected = multiply_in_floats(values, tests)
    ours = [] if scan.numkong is None else [multiply_by_rows, multiply_packed]
    exact = [one for one in (*ours, multiply_with_torch) if np.array_equal(one(values, tests), expected)]
    return Fastest(exact or [multiply_in_floats])


def _extreme_bytes(rows: int, width: int) -> NDArray[np.int8]:
    """Every second row random, the others the largest and the smallest byte throughout: what saturates, does."""
    values = np.random.default_rng(0).integers(-127, 128, (rows, width), dtype=np.int8)
    values[0::4], values[2::4] = 127, -127
    return values
