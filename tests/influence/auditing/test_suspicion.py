"""Suspicion: ranks of several signals as one share of the other rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.auditing.suspicion import rank_suspicion
from influence.errors import InvalidRequest

few_values = st.lists(st.integers(-3, 3), min_size=2, max_size=40)
pairs = few_values.flatmap(lambda a: st.tuples(st.just(a), st.permutations(a)))


@given(few_values)
def test_it_is_the_share_of_the_other_rows_that_look_less_odd(values: list[int]) -> None:
    found = rank_suspicion({"loss": np.array(values)}, {"loss": 1.0})
    for row, value in enumerate(values):
        others = values[:row] + values[row + 1 :]
        share = (sum(other < value for other in others) + 0.5 * sum(other == value for other in others)) / len(others)
        assert found[row] == pytest.approx(share, abs=1e-6)


@given(pairs)
def test_any_order_keeping_change_of_a_signal_leaves_it_as_it_is(signals: tuple[list[int], list[int]]) -> None:
    loss, other = (np.array(values, dtype=np.float64) for values in signals)
    weights = {"loss": 1.0, "self_influence": 2.0}
    plain = rank_suspicion({"loss": loss, "self_influence": other}, weights)
    bent = rank_suspicion({"loss": np.exp(3 * loss), "self_influence": 1e9 * other - 5}, weights)
    np.testing.assert_array_equal(plain, bent)
    assert plain.dtype == np.float32
    assert plain.mean() == pytest.approx(0.5)


def test_distinct_rows_are_spread_evenly_from_0_to_1() -> None:
    found = rank_suspicion({"loss": np.random.default_rng(0).permutation(101)}, {"loss": 0.3})
    np.testing.assert_allclose(np.sort(found), np.linspace(0, 1, 101), atol=1e-6)


def test_weights_say_how_much_a_signal_counts() -> None:
    signals = {"loss": np.array([0.0, 1.0, 2.0]), "margin": np.array([2.0, 1.0, 0.0])}
    assert rank_suspicion(signals, {"loss": 1, "margin": 1}).tolist() == [0.5, 0.5, 0.5]
    assert rank_suspicion(signals, {"loss": 2, "margin": 1}).tolist() == [0.0, 0.5, 1.0]
    assert rank_suspicion(signals, {"loss": 0, "margin": 1}).tolist() == [1.0, 0.5, 0.0]


def test_one_row_alone_is_neither_suspicious_nor_not() -> None:
    assert rank_suspicion({"loss": np.array([7.0])}, {"loss": 1.0}).tolist() == [0.5]


def test_signals_that_all_count_nothing_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="At least one signal"):
        rank_suspicion({"loss": np.array([1.0, 2.0])}, {"loss": 0.0})
