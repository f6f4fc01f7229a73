"""Ceilings against a truth of known reliability."""

import math

import numpy as np
import pytest

from influence.errors import InvalidRequest
from influence.evaluating.datamodel import linear_datamodelling_scores
from influence.evaluating.reliability import Floats, agreement_of_trainings, find_ceiling, share_of_ceiling

POINTS, SUBSETS = 150, 400


def trainings_of(noise: float, trainings: int, seed: int = 0) -> tuple[Floats, Floats]:
    """What rows do (subsets, points), of variance 1, and losses (trainings, subsets, points) with chance on top."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(SUBSETS, POINTS))
    return truth, truth + noise * rng.normal(size=(trainings, SUBSETS, POINTS))


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("trainings", [2, 4])
def test_a_perfect_prediction_reaches_the_ceiling_and_no_more(noise: float, trainings: int) -> None:
    truth, losses = trainings_of(noise, trainings)
    agreement = agreement_of_trainings(losses)
    ceiling = find_ceiling(agreement, trainings)
    known = 1 / (1 + noise**2)
    assert ceiling.reliability == pytest.approx(known, abs=0.03)
    assert ceiling.of_mean == pytest.approx(1 / (1 + noise**2 / trainings), abs=0.03)
    perfect = linear_datamodelling_scores(truth, losses.mean(0))
    assert ceiling.mean == pytest.approx(perfect.mean(), abs=0.03)
    assert ceiling.one == pytest.approx(linear_datamodelling_scores(truth, losses[0]).mean(), abs=0.03)
    share, low, high = share_of_ceiling(perfect, agreement, np.zeros(POINTS, np.int64), trainings, seed=0)
    assert low < share < high
    assert share == pytest.approx(1.0, abs=0.03)


def test_half_a_prediction_has_its_share_whatever_chance_does() -> None:
    rng = np.random.default_rng(1)
    for noise in (0.5, 1.5):
        truth, losses = trainings_of(noise, 2)
        half = truth + rng.normal(size=truth.shape)  # correlates to 0.71
        scores = linear_datamodelling_scores(half, losses.mean(0))
        share, _, _ = share_of_ceiling(scores, agreement_of_trainings(losses), np.zeros(POINTS, np.int64), 2, seed=0)
        assert share == pytest.approx(math.sqrt(0.5), abs=0.04)


def test_losses_of_chance_alone_have_no_ceiling() -> None:
    agreement = np.full(5, -0.1)
    assert find_ceiling(agreement, 2).mean is None
    assert all(math.isnan(value) for value in share_of_ceiling(np.ones(5), agreement, np.zeros(5, np.int64), 2, seed=0))


def test_one_training_per_subset_says_nothing_of_reliability() -> None:
    with pytest.raises(InvalidRequest, match="two trainings"):
        agreement_of_trainings(np.zeros((1, 8, 3)))
