"""Agreement of scores, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from influence.agreement import average_ranks, pearson, spearman, top_k_overlap
from influence.errors import InvalidRequest

pairs = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)


@given(pairs)
def test_correlations_equal_scipys_also_with_ties(values):
    left, right = np.array(values, dtype=np.float64).T
    assume(np.ptp(left) > 0 and np.ptp(right) > 0)
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right).statistic, abs=1e-12)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-12)
    np.testing.assert_array_equal(average_ranks(left), stats.rankdata(left))


@given(pairs, st.sampled_from([1e-200, 1e-3, 1e200]))
def test_correlation_does_not_depend_on_scale(values, scale):
    left, right = np.array(values, dtype=np.float64).T
    assume(np.ptp(left) > 0 and np.ptp(right) > 0)
    assert pearson(left * scale, right) == pytest.approx(pearson(left, right), abs=1e-12)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [2.0], []])
def test_values_that_do_not_vary_are_refused(values):
    with pytest.raises(InvalidRequest, match="do not vary"):
        spearman(values, list(range(len(values))))


def test_overlap_counts_rows_that_both_put_on_top():
    assert top_k_overlap([5, 4, 3, 2], [4, 1, 5, 0], 2) == 0.5
    assert top_k_overlap([5, 4, 3, 2], [5, 4, 3, 2], 3) == 1.0
    with pytest.raises(InvalidRequest, match="k is 5, but there are 4 values"):
        top_k_overlap([5, 4, 3, 2], [5, 4, 3, 2], 5)
