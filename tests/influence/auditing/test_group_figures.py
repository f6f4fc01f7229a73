"""Groups of training rows against plain sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.auditing.groups import GroupSums


def make(points: int, rows: int, count: int, seed: int) -> tuple[GroupSums, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores, groups = rng.normal(size=(points, rows)), rng.integers(0, count, rows)
    sums = GroupSums(groups, count)
    sums.add(scores[: points // 2])
    sums.add(scores[points // 2 :])
    return sums, scores, groups


@given(seed=st.integers(0, 2**31), count=st.integers(1, 5))
def test_figures_are_plain_means_and_sums(seed: int, count: int) -> None:
    sums, scores, groups = make(4, 30, count, seed)
    for group, figures in enumerate(sums.figures()):
        inside = scores[:, groups == group]
        assert figures.rows == inside.shape[1]
        assert figures.sum_score == pytest.approx(inside.sum(axis=1).mean())
        if figures.rows:
            assert figures.mean_score == pytest.approx(inside.mean())
            assert figures.low <= figures.mean_score <= figures.high


@given(seed=st.integers(0, 2**31))
def test_shares_of_the_tails_add_up(seed: int) -> None:
    sums, _, _ = make(3, 40, 4, seed)
    figures = sums.figures()
    assert sum(one.share_of_helpful for one in figures) == pytest.approx(1)
    assert sum(one.share_of_harmful for one in figures) == pytest.approx(1)


def test_a_bad_source_comes_last_with_an_interval_clear_of_the_others() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(5), 100)
    scores = rng.normal(0.1, 1, size=(50, 500))
    scores[:, groups == 3] -= 0.6
    sums = GroupSums(groups, 5)
    sums.add(scores)
    figures = sums.figures()
    worst = min(range(5), key=lambda group: figures[group].mean_score)
    assert worst == 3
    assert figures[3].high < min(figures[group].low for group in range(5) if group != 3)
    assert figures[3].share_of_harmful > 0.5


def test_rows_without_a_group_and_rows_left_out_of_the_index_count_nowhere() -> None:
    sums = GroupSums(np.array([0, -1, 0]), 1)
    sums.add(np.array([[1.0, 100.0, np.nan]]))
    (figures,) = sums.figures()
    assert (figures.rows, figures.sum_score) == (2, 1.0)


def test_extreme_rows_are_those_of_the_group_alone() -> None:
    sums = GroupSums(np.array([0, 1, 0, 0]), 2)
    sums.add(np.array([[3.0, 9.0, 1.0, 2.0]]))
    best, worst = sums.extreme_rows(0, 2)
    assert (best.tolist(), worst.tolist()) == ([0, 3], [2, 3])


def test_the_matrix_takes_evaluation_rows_by_their_class() -> None:
    sums = GroupSums(np.array([0, 1]), 2)
    sums.add(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    matrix = sums.matrix(np.array([0, 0, 1]), 3)
    assert matrix[:, :2].tolist() == [[2.0, 5.0], [3.0, 6.0]]
    assert np.isnan(matrix[:, 2]).all()
