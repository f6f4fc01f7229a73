"""Linear datamodelling scores and calibrations, against scipy and against worlds whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, spearmanr

from influence.errors import InvalidRequest
from influence.evaluating.datamodel import calibrate, linear_datamodelling_scores, predict_losses, ratio_interval
from influence.evaluating.draws import draw_subsets


def test_scores_are_spearman_over_subsets_of_each_test_point() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=(2, 12, 5))
    measured[3] = measured[4]
    found = linear_datamodelling_scores(predicted, measured)
    assert found == pytest.approx([spearmanr(predicted[:, j], measured[:, j]).statistic for j in range(5)], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-5, 5))
def test_a_world_that_is_a_sum_over_rows_is_predicted_perfectly(seed: int, factor: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    influence = rng.normal(size=(3, 40))
    subsets = draw_subsets(40, 10, 0.5, seed=seed)
    losses = offset + factor * subsets @ influence.T
    predicted = predict_losses(influence, subsets)
    assert linear_datamodelling_scores(predicted, losses) == pytest.approx(np.ones(3))
    assert linear_datamodelling_scores(-predicted, losses) == pytest.approx(-np.ones(3))


def test_one_subset_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="two"):
        linear_datamodelling_scores(np.ones((1, 3)), np.ones((1, 3)))


def test_a_ratio_has_an_interval_around_it_and_none_without_a_base() -> None:
    rng = np.random.default_rng(0)
    below = rng.normal(0.2, 0.05, 100)
    above = 2 * below + rng.normal(0, 0.05, 100)
    ratio, low, high = ratio_interval(above, below, np.repeat([0, 1], 50), seed=0)
    assert low < ratio < high
    assert ratio == pytest.approx(2.0, abs=0.1)
    assert np.isnan(ratio_interval(above, -below, np.zeros(100, np.int64), seed=0)[0])


def test_a_known_scale_is_found_within_its_interval() -> None:
    rng = np.random.default_rng(1)
    sums = rng.normal(3.0, 2.0, 60)
    changes = 0.5 + 0.04 * sums + rng.normal(0, 0.02, 60)
    found = calibrate(sums, changes, seed=0)
    assert found.low < 0.04 < found.high
    assert found.is_useful
    assert found.scale == pytest.approx(linregress(sums, changes).slope, rel=1e-9)
    assert found.correlation == pytest.approx(linregress(sums, changes).rvalue, rel=1e-9)
    assert found.error < found.spread
    assert found.slope == pytest.approx(1.0, abs=0.15)


def test_a_scale_that_fails_on_held_out_subsets_is_withheld() -> None:
    rng = np.random.default_rng(7)
    sums = np.append(rng.normal(size=23), 30.0)  # one subset makes the scale; without it there is another one
    found = calibrate(sums, np.append(1.0 * sums[:-1], 3.0), seed=0)
    assert found.low > 0
    assert found.slope is not None
    assert not 0.8 <= found.slope <= 1.25
    assert not found.is_useful
    assert calibrate(sums[:5], sums[:5], seed=0).slope is None


def test_scores_that_say_nothing_have_no_useful_scale() -> None:
    rng = np.random.default_rng(2)
    assert not calibrate(rng.normal(size=40), rng.normal(size=40), seed=0).is_useful


def test_scores_that_do_not_vary_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="do not vary"):
        calibrate(np.ones(10), np.arange(10.0), seed=0)
