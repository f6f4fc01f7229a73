"""Queries that arrive while a pass runs share the next one."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from workers.indexes.scan_batcher import MAX_VECTORS, Floats, ScanBatcher

CODES = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)


def test_waiting_queries_are_answered_by_one_pass(wait_until: Callable[..., None]) -> None:
    gate, begun, sizes = threading.Event(), threading.Event(), list[int]()

    def scan(vectors: Floats) -> Floats:
        sizes.append(len(vectors))
        begun.set()
        gate.wait()
        return vectors @ CODES.T

    batcher, answers = ScanBatcher(scan), dict[int, Floats]()
    questions = [np.full((2, 8), number, dtype=np.float32) for number in range(4)]

    def ask(number: int) -> None:
        answers[number] = batcher(questions[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: batcher.waiting == 3, "three queries wait")
    gate.set()
    for thread in threads:
        thread.join()
    assert sizes == [2, 6]
    for number, question in enumerate(questions):
        # A product of another size may add up in another order.
        expected = question @ CODES.T
        np.testing.assert_allclose(answers[number], expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


def test_a_pass_is_bounded() -> None:
    sizes = list[int]()

    def scan(vectors: Floats) -> Floats:
        sizes.append(len(vectors))
        return vectors @ CODES.T

    batcher = ScanBatcher(scan)
    assert batcher(np.ones((MAX_VECTORS + 5, 8), dtype=np.float32)).shape == (MAX_VECTORS + 5, 50)
    assert sizes == [MAX_VECTORS + 5]


def test_a_failed_pass_fails_its_callers_and_no_later_one() -> None:
    fail = [True]

    def scan(vectors: Floats) -> Floats:
        if fail[0]:
            raise MemoryError("no room for scores")
        return vectors @ CODES.T

    batcher = ScanBatcher(scan)
    with pytest.raises(MemoryError):
        batcher(np.ones((1, 8), dtype=np.float32))
    fail[0] = False
    assert batcher(np.ones((1, 8), dtype=np.float32)).shape == (1, 50)
