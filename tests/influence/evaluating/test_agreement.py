"""Agreement of scores, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from influence.errors import InvalidRequest
from influence.evaluating.agreement import average_ranks, pearson, rank_correlations, share_found, spearman

pairs = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)


@given(pairs)
def test_correlations_equal_scipys_also_with_ties(values: list[tuple[int, int]]) -> None:
    left, right = np.array(values, dtype=np.float64).T
    assume(np.ptp(left) > 0 and np.ptp(right) > 0)
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right).statistic, abs=1e-12)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)
    np.testing.assert_array_equal(average_ranks(left), stats.rankdata(left))


@given(pairs, st.sampled_from([1e-200, 1e-3, 1e200]))
def test_correlation_does_not_depend_on_scale(values: list[tuple[int, int]], scale: float) -> None:
    left, right = np.array(values, dtype=np.float64).T
    assume(np.ptp(left) > 0 and np.ptp(right) > 0)
    assert pearson(left * scale, right) == pytest.approx(pearson(left, right), abs=1e-12)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [2.0], []])
def test_values_that_do_not_vary_are_refused(values: list[float]) -> None:
    with pytest.raises(InvalidRequest, match="do not vary"):
        spearman(values, list(range(len(values))))


def test_correlations_of_lines_are_those_of_each_and_lines_that_do_not_vary_agree_with_their_like_alone() -> None:
    left = np.array([[1.0, 2.0, 2.0, 5.0], [3.0, 1.0, 2.0, 0.0], [7.0] * 4, [7.0] * 4])
    right = np.array([[1.0, 3.0, 2.0, 2.0], [3.0, 1.0, 2.0, 0.0], [1.0] * 4, [1.0, 2.0, 3.0, 4.0]])
    expected = [stats.spearmanr(left[0], right[0]).statistic, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(rank_correlations(left, right), expected, atol=1e-12)


def test_the_share_found_counts_both_ends_and_looks_as_deep_as_told() -> None:
    left, right = np.arange(10.0)[None], np.arange(10.0)[None].copy()
    right[0, 9] = -1.0  # the highest row becomes the lowest
    assert share_found(left, left, 3, 3) == 1.0
    assert share_found(left, right, 2, 2) == pytest.approx(0.5)
    assert share_found(left, right, 2, 3) == pytest.approx(0.75)
    assert share_found(np.array([[5.0, 4, 3, 2]]), np.array([[4.0, 1, 5, 0]]), 2, 2) == pytest.approx(0.5)
    with pytest.raises(InvalidRequest, match="there are 10"):
        share_found(left, right, 11, 11)
