"""Which rows and which checkpoints have gradients to speak of."""

import numpy as np
import pytest

from influence.evaluating.gradient_lengths import share_that_counts, sum_lengths


def test_sums_of_shards_add_up_to_those_of_all_rows() -> None:
    squares = np.random.default_rng(0).uniform(0, 4, (30, 3))
    whole = sum_lengths(squares)
    parts = [sum_lengths(squares[:11]), sum_lengths(squares[11:])]
    assert whole == pytest.approx(np.sum(parts, axis=0))
    assert whole[0] == pytest.approx(np.sqrt(squares.sum(1)).sum())


@pytest.mark.parametrize(("lengths", "share"), [([2.0] * 8, 1.0), ([5.0] + [0.0] * 7, 1 / 8), ([0.0] * 8, 0.0)])
def test_rows_that_count_are_as_many_as_equal_rows_would_be(lengths: list[float], share: float) -> None:
    sums = sum_lengths(np.square(lengths)[:, None])
    assert share_that_counts(8, *sums) == pytest.approx(share)
