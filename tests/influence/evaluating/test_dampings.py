"""Comparing dampings: correlations of ranks, shares of the first rows, and which dampings are compared."""

import numpy as np
import pytest
from scipy import stats

from influence.evaluating.dampings import choose_scales, compare_dampings, mean_rank_correlations

STEPS = (0.01, 1.0, 100.0)


def test_the_default_is_always_among_the_dampings_and_they_ascend() -> None:
    assert choose_scales(None, 0.1, STEPS) == pytest.approx((0.001, 0.1, 10.0))
    assert choose_scales([5.0, 0.5], 1.0, STEPS) == (0.5, 1.0, 5.0)
    assert choose_scales([5.0, 1.0], 1.0, STEPS) == (1.0, 5.0)


def test_correlations_are_spearmans_and_means_over_test_points() -> None:
    random = np.random.default_rng(0)
    # Rounded, so that there are ties.
    sets = [np.round(random.standard_normal((4, 30)), 1) for _ in range(3)]
    found = mean_rank_correlations(sets)
    for i, left in enumerate(sets):
        for j, right in enumerate(sets):
            expected = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(left, right, strict=True)])
            assert found[i, j] == pytest.approx(expected, abs=1e-12)


def test_scores_that_do_not_vary_agree_with_their_like_alone() -> None:
    flat, varied = np.zeros((1, 5)), np.arange(5.0)[None]
    np.testing.assert_allclose(mean_rank_correlations([flat, flat + 1, varied]), [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_a_comparison_is_against_the_default_in_ascending_order() -> None:
    random = np.random.default_rng(1)
    base = random.standard_normal((3, 50))
    influence = {1.0: base, 0.1: base + 0.1 * random.standard_normal((3, 50)), 10.0: -base}
    found = compare_dampings(influence, 1.0)
    assert [row.damping_scale for row in found.rows] == [0.1, 1.0, 10.0]
    assert [row.is_default for row in found.rows] == [False, True, False]
    assert found.rows[1].spearman_with_default == pytest.approx(1.0)
    assert found.rows[1].overlap_with_default == 1.0
    assert found.rows[2].spearman_with_default == pytest.approx(-1.0)
    assert 0.5 < found.rows[0].spearman_with_default < 1
    assert found.spearman[0][2] == pytest.approx(-found.rows[0].spearman_with_default)
    assert (found.top, found.test_points, found.rows_scored) == (10, 3, 50)


def test_fewer_rows_than_ten_are_compared_whole() -> None:
    scores = np.arange(4.0)[None]
    assert compare_dampings({1.0: scores, 2.0: -scores}, 1.0).top == 4
