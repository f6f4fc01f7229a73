"""Queries that arrive together are answered by one pass over the codes.

Who shares a pass changes no score of int8 codes, whose products are whole numbers; of others the last digits.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.runtime.sharing.gathering import Gathering

Floats = NDArray[np.float32]

#: Query vectors per pass: bounds the scores that are held at once.
MAX_VECTORS = 64


class ScanBatcher:
    """One pass at a time, for all who wait for it. `scan` maps query vectors (m, P) to scores (m, n)."""

    def __init__(self, scan: Callable[[Floats], Floats]) -> None:
        self._scan = scan
        self._passes: Gathering[Floats, Floats] = Gathering()

    @property
    def waiting(self) -> int:
        """How many wait for the next pass."""
        return self._passes.waiting

    def __call__(self, vectors: Floats) -> Floats:
        """Scores (m, n) of query vectors (m, P)."""
        return self._passes.ask(vectors, self._scan_together, fit_one_pass)

    def _scan_together(self, asked: Sequence[Floats]) -> list[Floats]:
        return split_points(self._scan(np.concatenate(asked)), [len(vectors) for vectors in asked])


def fit_one_pass(chosen: Sequence[Floats], other: Floats) -> bool:
    """Whether a pass holds these vectors and others."""
    return sum(map(len, chosen)) + len(other) <= MAX_VECTORS


def split_points(scores: Floats, counts: Sequence[int]) -> list[Floats]:
    """Scores (m, n) as those of consecutive points, so many at a time."""
    return np.split(scores, np.cumsum(counts[:-1]))
