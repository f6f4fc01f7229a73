"""Sums of Kronecker factors: shards merge by adding, and what was packed comes back."""

import numpy as np

from influence.methods.algebra.kronecker_factors import KroneckerSums, unpack_sums


def pair(value: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full((2, 2), value), np.full((3, 3), 10 * value)


def test_shards_add_up_and_are_divided_by_all_their_rows() -> None:
    total = KroneckerSums(3, {0: pair(1.0)}) + KroneckerSums(1, {0: pair(2.0)})
    (left, right) = total.means(["a"])["a"]
    np.testing.assert_array_equal(left, np.full((2, 2), 0.75))
    np.testing.assert_array_equal(right, np.full((3, 3), 7.5))


def test_a_block_that_one_shard_did_not_use_keeps_the_others_sum() -> None:
    total = KroneckerSums(3, {1: pair(1.0)}) + KroneckerSums(2, {})
    np.testing.assert_array_equal(total.factors[1][0], pair(1.0)[0])
    assert total.rows == 5


def test_a_block_without_factors_in_one_shard_has_none_at_all() -> None:
    total = KroneckerSums(3, {0: pair(1.0), 1: pair(1.0)}) + KroneckerSums(2, {0: pair(1.0)}, frozenset({1}))
    assert set(total.factors) == {0}
    assert total.without == {1}


def test_what_was_packed_comes_back() -> None:
    total = KroneckerSums(4, {0: pair(1.0), 12: pair(2.0)}, frozenset({3}))
    found = unpack_sums(total.pack())
    assert (found.rows, set(found.without), set(found.factors)) == (4, {3}, {0, 12})
    np.testing.assert_array_equal(found.factors[12][1], total.factors[12][1])
    assert found.nbytes == total.nbytes
