"""Queries that arrive together are answered by one pass over the codes.

Who shares a pass changes no score of int8 codes, whose products are whole numbers; of others the last digits.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Query vectors per pass: bounds the scores that are held at once.
MAX_VECTORS = 64


@dataclass(eq=False)
class _Request:
    vectors: Floats
    scores: Floats | None = None


class ScanBatcher:
    """One pass at a time; whoever gets the turn answers all who wait for it.

    `scan` maps query vectors (m, P) to scores (m, n).
    """

    def __init__(self, scan: Callable[[Floats], Floats]) -> None:
        self._scan = scan
        self._mutex = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Request] = []

    def __call__(self, vectors: Floats) -> Floats:
        """Scores (m, n) of query vectors (m, P). A pass that fails, fails for him who ran it; others run their own."""
        request = _Request(vectors)
        with self._mutex:
            self._waiting.append(request)
        with self._turn:
            if request.scores is None:
                self._answer(self._take(request))
        assert request.scores is not None
        return request.scores

    def _take(self, first: _Request) -> list[_Request]:
        """This request and as many of the waiting as a pass holds."""
        with self._mutex:
            batch, size = [first], len(first.vectors)
            for request in self._waiting:
                if request is not first and size + len(request.vectors) <= MAX_VECTORS:
                    batch.append(request)
                    size += len(request.vectors)
            self._waiting = [request for request in self._waiting if request not in batch]
            return batch

    def _answer(self, batch: list[_Request]) -> None:
        scores = self._scan(np.concatenate([request.vectors for request in batch]))
        start = 0
        for request in batch:
            request.scores = scores[start : start + len(request.vectors)]
            start += len(request.vectors)
