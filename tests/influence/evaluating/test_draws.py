"""What experiments draw: within bounds, and the same for the same seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from influence.evaluating.draws import draw_rows, draw_subsets, flip, training_seed


@settings(max_examples=60, deadline=None)
@given(st.integers(12, 200), st.integers(0, 2**20), st.floats(0, 0.9), st.integers(2, 9), st.booleans())
def test_rows_are_drawn_once_and_labels_become_others(
    count: int, seed: int, share: float, classes: int, held_out: bool
) -> None:
    draw = draw_rows(
        count, None if held_out else 50, seed=seed, rows=10, test_points=5, flip_share=share, classes=classes
    )
    assert len(set(draw.train.tolist())) == len(draw.train) == min(10, count)
    assert set(draw.train.tolist()) <= set(range(count))
    if held_out:
        assert not set(draw.train.tolist()) & set(draw.test.tolist())
        assert 1 <= len(draw.test) <= 5
    else:
        assert len(set(draw.test.tolist())) == 5
        assert set(draw.test.tolist()) <= set(range(50))
    assert len(draw.flipped) == int(len(draw.train) * share)
    assert all(
        flip(label, shift, classes) != label for label, shift in zip([0, 1] * 9, draw.shifts.tolist(), strict=False)
    )


def test_a_seed_decides_the_draw() -> None:
    first, again, other = (
        draw_rows(100, 40, seed=seed, rows=30, test_points=10, flip_share=0.2, classes=3) for seed in (5, 5, 6)
    )
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.shifts, again.shifts)
    assert not np.array_equal(first.train, other.train)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 80), st.integers(1, 9), st.floats(0.01, 0.99), st.integers(0, 99))
def test_subsets_have_their_share_and_leave_something_out(rows: int, count: int, share: float, seed: int) -> None:
    subsets = draw_subsets(rows, count, share, seed=seed)
    assert subsets.shape == (count, rows)
    assert set(subsets.sum(axis=1).tolist()) == {min(max(1, int(rows * share)), rows - 1)}


def test_trainings_have_seeds_of_their_own() -> None:
    assert len({training_seed(0, number) for number in range(100)}) == 100
    assert 0 <= training_seed((1 << 31) - 1, 10) < 1 << 31
