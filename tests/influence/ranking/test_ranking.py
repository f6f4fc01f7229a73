"""Rankings, percentiles, histogram and summary of scores."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.errors import InvalidRequest
from influence.ranking.held import HeldScores
from influence.ranking.order import direction_of, lowest_rows, rank_rows, scores_of
from influence.ranking.statistics import histogram, percentiles, readable_scales, summarise

few_values = st.lists(st.integers(-3, 3), min_size=1, max_size=40)


def test_helpful_rows_have_the_highest_scores_and_harmful_rows_the_lowest() -> None:
    scores = scores_of(np.array([3.0, -1.0, 0.5, -7.0, 2.0]))
    ranking = rank_rows(scores, 2, "both")
    assert ranking.helpful.tolist() == [3, 1]
    assert ranking.harmful.tolist() == [0, 4]
    assert ranking.absolute.size == 0
    assert rank_rows(scores, 3, "absolute").absolute.tolist() == [3, 0, 4]


@given(few_values, st.data())
def test_both_ways_each_list_has_only_rows_of_its_own_direction(values: list[int], data: st.DataObject) -> None:
    scores = np.array(values, dtype=np.float32)
    k = data.draw(st.integers(1, len(values)))
    ranking = rank_rows(scores, k, "both")
    assert ranking.helpful.tolist() == [row for row in rank_rows(scores, k, "helpful").helpful if scores[row] > 0]
    assert ranking.harmful.tolist() == [row for row in rank_rows(scores, k, "harmful").harmful if scores[row] < 0]


@given(few_values, st.data())
def test_rankings_equal_a_full_stable_sort_whatever_the_ties(values: list[int], data: st.DataObject) -> None:
    scores = np.array(values, dtype=np.float32)
    k = data.draw(st.integers(1, len(values)))
    by_row = range(len(values))
    assert rank_rows(scores, k, "helpful").helpful.tolist() == sorted(by_row, key=lambda i: (-values[i], i))[:k]
    assert rank_rows(scores, k, "harmful").harmful.tolist() == sorted(by_row, key=lambda i: (values[i], i))[:k]
    assert rank_rows(scores, k, "absolute").absolute.tolist() == sorted(by_row, key=lambda i: (-abs(values[i]), i))[:k]


@pytest.mark.parametrize("make", ["normal", "ascending", "of few values", "alike", "not all numbers"])
def test_of_many_values_the_lowest_are_those_of_a_full_stable_sort(make: str) -> None:
    values = np.random.default_rng(0).normal(size=7_300).astype(np.float32)
    if make == "ascending":
        values.sort()
    elif make == "of few values":
        values = np.round(values)
    elif make == "alike":
        values[:] = 1
    elif make == "not all numbers":
        values[::900] = np.nan
    expected = np.argsort(values, kind="stable")  # what is no number comes last
    for k in (1, 2, 5, 13, 14, 15, 200, 7_000):
        assert lowest_rows(values, k).tolist() == expected[:k].tolist()


@given(few_values)
def test_a_percentile_is_the_share_of_the_other_rows_with_a_lower_score(values: list[int]) -> None:
    scores = np.array(values, dtype=np.float64)
    rows = np.arange(len(values))[::-1]
    expected = [100.0 * sum(other < values[row] for other in values) / max(len(values) - 1, 1) for row in rows]
    np.testing.assert_allclose(
        percentiles(HeldScores.of(scores), scores[rows].astype(np.float32)), expected, rtol=1e-12
    )


def test_the_scale_of_percentiles_is_used_up_to_both_ends() -> None:
    scores = np.array([3.0, 1.0, 2.0], np.float32)
    assert percentiles(HeldScores.of(scores), scores).tolist() == [100.0, 0.0, 50.0]


def test_more_rows_than_the_index_has_are_refused_with_the_count() -> None:
    with pytest.raises(InvalidRequest, match="k is 4, but the index has 3 rows") as refused:
        rank_rows(np.zeros(3), 4, "helpful")
    assert "1 to 3" in refused.value.hint


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=50), st.integers(1, 60))
def test_a_histogram_counts_every_row_in_the_number_of_bins_asked_for(values: list[float], bins: int) -> None:
    result = histogram(HeldScores.of(np.array(values)), bins)
    assert sum(result.hist) == len(values)
    assert len(result.hist) == bins
    assert all(low < high for low, high in pairwise(result.bin_edges))


@pytest.mark.parametrize("value", [0.0, 1e-30, -2.5, 1e20])
def test_equal_scores_have_a_histogram_and_a_summary_too(value: float) -> None:
    scores = np.full(7, value, dtype=np.float32)
    counts = histogram(HeldScores.of(scores), 5)
    assert counts.hist == (0, 0, 7, 0, 0)
    summary = summarise(HeldScores.of(scores))
    assert summary["std"] == 0.0
    assert summary["min"] == summary["max"] == summary["median"] == pytest.approx(value)


def test_a_summary_says_what_part_of_the_rows_helped() -> None:
    summary = summarise(HeldScores.of(np.array([1.0, 2.0, -3.0, 0.0])))
    assert summary["share_helpful"] == 0.5
    assert summary["mean"] == 0.0
    assert (summary["min"], summary["median"], summary["max"]) == (-3.0, 0.5, 2.0)


def test_direction_follows_the_sign_and_zero_is_not_called_helpful() -> None:
    assert [direction_of(score) for score in (1e-30, 0.0, -1e-30)] == ["helpful", "harmful", "harmful"]
    assert not np.signbit(scores_of(np.zeros(1)))[0]


def test_ties_at_the_edge_of_the_list_are_broken_by_row_among_many_rows() -> None:
    values = np.zeros(100_000, dtype=np.float32)
    values[[70_000, 5]] = -1.0
    assert lowest_rows(values, 4).tolist() == [5, 70_000, 0, 1]


def test_scores_get_scales_that_people_can_read() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0, -10.0], np.float32)
    relative, robust_z = readable_scales(HeldScores.of(scores), scores[[4, 1]])
    assert relative.tolist() == [-1.0, 0.2]
    assert robust_z is not None
    assert robust_z.tolist() == pytest.approx([-12 / 1.4826, 0.0])
    flat, none = readable_scales(HeldScores.of(np.zeros(3)), np.zeros(1, np.float32))
    assert (flat.tolist(), none) == ([0.0], None)
