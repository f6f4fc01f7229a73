"""Figures over rankings, against brute force over pairs, orders and samples."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.errors import InvalidRequest
from influence.evaluating.agreement import auc
from influence.evaluating.statistics import bootstrap_interval, mean_and_interval, precision_curve

marked = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=6).filter(
    lambda rows: any(mark for _, mark in rows)
)


@given(marked.filter(lambda rows: not all(mark for _, mark in rows)))
def test_auc_is_the_share_of_pairs_in_order_and_ties_count_half(rows: list[tuple[int, bool]]) -> None:
    pairs = [np.sign(high - low) / 2 + 0.5 for high, of in rows if of for low, other in rows if not other]
    assert auc(*zip(*rows, strict=True)) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(marked)
def test_curves_are_means_over_all_orders_of_tied_rows(rows: list[tuple[int, bool]]) -> None:
    scores, marks = zip(*rows, strict=True)
    orders = [order for order in permutations(range(len(rows))) if _falls([scores[row] for row in order])]
    found = np.mean([np.cumsum([marks[row] for row in order]) for order in orders], axis=0)
    recall, precision = precision_curve(scores, marks)
    np.testing.assert_allclose(recall, found / sum(marks), atol=1e-12)
    np.testing.assert_allclose(precision, found / np.arange(1, len(rows) + 1), atol=1e-12)


def _falls(scores: list[int]) -> bool:
    return all(first >= second for first, second in pairwise(scores))


def test_interval_of_a_mean_is_that_of_normal_theory_for_many_values() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    mean, low, high = mean_and_interval(values, seed=1)
    half = 1.96 * values.std() / 20  # 20 = sqrt(400)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.1 * half)
    assert high == pytest.approx(mean + half, abs=0.1 * half)


def test_interval_equals_the_quantiles_of_every_sample_there_is() -> None:
    values = [0.0, 1.0, 5.0]
    means = [np.mean([a, b, c]) for a in values for b in values for c in values]
    assert bootstrap_interval(values, seed=0, level=0.6) == pytest.approx(np.quantile(means, [0.2, 0.8]))


def test_interval_depends_on_the_seed_alone_and_widens_with_its_level() -> None:
    values = np.random.default_rng(2).random(30)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)
    narrow, wide = bootstrap_interval(values, seed=5, level=0.5), bootstrap_interval(values, seed=5, level=0.99)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    assert mean_and_interval([0.25], seed=0) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_values_that_are_missing_or_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(InvalidRequest, match="not finite"):
        mean_and_interval(values, seed=0)
    with pytest.raises(InvalidRequest, match="not finite"):
        auc(values, [True] * len(values))


def test_groups_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="No row is positive"):
        auc([1.0, 2.0], [False, False])
    with pytest.raises(InvalidRequest, match="Every row is positive"):
        auc([1.0, 2.0], [True, True])
    with pytest.raises(ValueError, match="2 scores do not fit 1 marks"):
        auc([1.0, 2.0], [True])
