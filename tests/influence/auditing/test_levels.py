"""How much a row stands out: chances that hold whatever the scores' distribution is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from influence.auditing.levels import CHANCE_HIGH, FEWEST_POINTS, NULL_POINTS, SHARE_LOW, SHARE_MEDIUM, fit_levels

ROWS = 300


def draw(kind: str, points: int, seed: int) -> NDArray[np.float64]:
    """Scores of unrelated test points, each with a loudness of its own."""
    rng = np.random.default_rng(seed)
    shape = (points, ROWS)
    if kind == "normal":
        scores = rng.normal(size=shape)
    else:
        scores = rng.standard_t(2, size=shape) if kind == "heavy" else rng.exponential(size=shape)
    scores *= np.exp(rng.normal(size=(points, 1)))
    return scores


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
def test_unrelated_points_reach_a_level_no_more_often_than_is_said(kind: str) -> None:
    high, medium, low = [], [], []
    for seed in range(200):
        levels = fit_levels(draw(kind, NULL_POINTS, seed))
        assert levels is not None
        for scores in draw(kind, 5, 100_000 + seed):
            found = levels.of(scores, range(ROWS))
            high.append(levels.stands_out(scores))
            medium.append(np.mean([level in ("high", "medium") for level in found]))
            low.append(np.mean([level != "none" for level in found]))
    # 1,000 points on 200 nulls: three standard errors of a share of 5 %.
    assert np.mean(high) <= CHANCE_HIGH + 0.022
    assert np.mean(medium) == pytest.approx(SHARE_MEDIUM, abs=0.006)
    assert np.mean(low) == pytest.approx(SHARE_LOW, abs=0.02)


def test_a_row_far_beyond_all_others_is_high_and_size_alone_is_not() -> None:
    levels = fit_levels(draw("normal", NULL_POINTS, 1))
    assert levels is not None
    scores = draw("normal", 1, 2)[0]
    assert not levels.stands_out(1000 * scores)
    scores[7] = -50 * np.abs(scores).max()
    assert levels.stands_out(scores)
    assert levels.of(scores, [7]) == ["high"]
    assert levels.low < levels.medium <= levels.high


def test_related_rows_do_not_count_and_scores_of_zero_are_none() -> None:
    null = draw("normal", NULL_POINTS, 3)
    loud = null.copy()
    loud[:, 0] = 1e6
    assert fit_levels(np.where(loud == 1e6, np.nan, loud)) == fit_levels(np.where(loud == 1e6, np.nan, null))
    levels = fit_levels(null)
    assert levels is not None
    assert set(levels.of(np.zeros(ROWS), range(ROWS))) == {"none"}
    assert not levels.stands_out(np.zeros(ROWS))


def test_too_few_points_bound_no_chance() -> None:
    assert fit_levels(draw("normal", FEWEST_POINTS - 1, 4)) is None
    assert fit_levels(draw("normal", FEWEST_POINTS, 4)) is not None
    assert fit_levels(np.empty((0, ROWS))) is None
