"""Whichever kernel is fastest, the scores are the same."""

import numpy as np
import pytest

from influence.compact.codes import encode_codes
from influence.compact.scan import multiply_bytes, scan_codes
from workers.indexes.kernels import multiply_fastest, multiply_in_floats


@pytest.mark.parametrize("width", [1, 25, 100, 333, 400, 1600])
@pytest.mark.parametrize("points", [1, 2, 33])
def test_kernels_give_the_same_whole_numbers(width: int, points: int) -> None:
    rng = np.random.default_rng(width + points)
    values, vectors = (rng.integers(-127, 128, (rows, width), dtype=np.int8) for rows in (501, points))
    expected = vectors.astype(np.int64) @ values.astype(np.int64).T
    for multiply in (multiply_bytes, multiply_in_floats, multiply_fastest):
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
