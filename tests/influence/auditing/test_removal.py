"""Sets of rows beside random ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.auditing.removal import lost_classes, lowest_rows_of, removal_curve, removal_effect

SCORES = np.random.default_rng(3).normal(size=200)


def test_the_worst_rows_stand_below_all_random_sets() -> None:
    effect = removal_effect(SCORES, lowest_rows_of(SCORES, 10))
    assert (effect.rows, effect.percentile) == (20, 0.0)
    assert effect.effect < effect.random_low < effect.random_mean < effect.random_high


@given(seed=st.integers(0, 2**31))
def test_random_sets_stand_anywhere(seed: int) -> None:
    rows = np.random.default_rng(seed).choice(200, 20, replace=False)
    effect = removal_effect(SCORES, rows)
    assert effect.effect == pytest.approx(SCORES[rows].sum())
    assert 0 <= effect.percentile <= 100


def test_the_curve_agrees_with_single_sets() -> None:
    for percent, count, effect in removal_curve(SCORES, (0, 1, 5, 50, 100)):
        rows = lowest_rows_of(SCORES, percent)
        assert count == len(rows)
        assert effect == pytest.approx(SCORES[rows].sum())


def test_a_class_that_loses_a_fifth_is_named_and_the_worst_comes_first() -> None:
    assert lost_classes({"a": 10, "b": 10, "c": 10}, {"a": 8, "b": 2}) == [("c", 1.0), ("b", 0.8)]
