"""Whichever kernel is fastest, the scores are the same."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from influence.compact.codes import encode_codes
from influence.compact.scan import Products, multiply_by_rows, multiply_bytes, multiply_packed, scan_codes
from workers.indexes.kernels import Fastest, choose_kernel, multiply_fastest, multiply_in_floats


@pytest.mark.parametrize("width", [1, 25, 100, 333, 400, 1600])
@pytest.mark.parametrize("points", [1, 2, 33])
def test_kernels_give_the_same_whole_numbers(width: int, points: int) -> None:
    rng = np.random.default_rng(width + points)
    values, vectors = (rng.integers(-127, 128, (rows, width), dtype=np.int8) for rows in (501, points))
    expected = vectors.astype(np.int64) @ values.astype(np.int64).T
    for multiply in (multiply_bytes, multiply_by_rows, multiply_packed, multiply_in_floats, multiply_fastest):
        np.testing.assert_array_equal(multiply(values, vectors), expected)


@pytest.mark.parametrize("points", [1, 3])
def test_the_chosen_kernel_changes_no_score(points: int) -> None:
    rng = np.random.default_rng(7)
    codes = encode_codes(rng.normal(size=(5000, 60)).astype(np.float32), np.ones((5000, 2), np.float32))
    vectors = rng.normal(size=(points, 60)).astype(np.float32)
    plain = scan_codes(codes, vectors, threads=2)
    np.testing.assert_array_equal(scan_codes(codes, vectors, threads=2, multiply=multiply_fastest), plain)


def test_no_rows_need_no_kernel() -> None:
    codes = encode_codes(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32))
    assert scan_codes(codes, np.ones((2, 4), np.float32), multiply=multiply_fastest).shape == (2, 0)


def test_each_kernel_takes_pieces_of_a_scan_until_one_is_chosen() -> None:
    codes = encode_codes(np.ones((1 << 18, 3), np.float32), np.ones((1 << 18, 2), np.float32))
    assert choose_kernel(3, 1).chosen is None
    scan_codes(codes, np.ones((1, 3), np.float32), multiply=multiply_fastest)
    assert choose_kernel(3, 1).chosen is not None


def test_the_fastest_kernel_is_chosen_and_one_far_behind_is_tried_no_further() -> None:
    calls: list[str] = []

    def quick(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
        calls.append("quick")
        return multiply_bytes(values[:1], vectors)

    def slow(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
        calls.append("slow")
        time.sleep(0.2)
        return multiply_bytes(values[:1], vectors)

    fastest = Fastest([slow, quick])
    values, vectors = np.ones((5000, 8), np.int8), np.ones((1, 8), np.int8)
    for _ in range(20):
        fastest(values, vectors)
    assert fastest.chosen is quick
    assert calls.count("slow") < 4  # each has four pieces, but for one that is hopeless


def test_a_few_rows_choose_nothing() -> None:
    fastest = Fastest([multiply_bytes, multiply_in_floats])
    for _ in range(20):
        fastest(np.ones((10, 8), np.int8), np.ones((1, 8), np.int8))
    assert fastest.chosen is None
