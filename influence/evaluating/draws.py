"""What an experiment leaves to chance: drawn from its seed alone, the same on every machine. numpy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

#: Apart, so that rows, subsets and trainings of one seed have nothing to do with each other.
_ROWS_STREAM, _SUBSETS_STREAM, _TRAININGS_STREAM = 1000, 77, 5000
#: More than there are trainings of one experiment, so that no repeat of one is another's first.
_REPEATS_APART = 100_000
#: Share of the training rows that serves as test points where no others are given.
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Draw:
    """Row indexes of training rows and test points, and positions among the former whose labels are made wrong, each
    by its shift (see `flip`); all int64.
    """

    train: Rows
    test: Rows
    flipped: Rows
    shifts: Rows


def draw_rows(
    count: int,
    test_count: int | None,
    *,
    seed: int,
    rows: int | None,
    test_points: int,
    flip_share: float,
    classes: int,
) -> Draw:
    """Choose training rows among `count`, wrong labels, and test points among `test_count` rows of another data set.

    Without one (None), test points are held out of the training rows. A wrong label is another class, each as likely.
    """
    rng = np.random.default_rng(_ROWS_STREAM + seed)
    order = rng.permutation(count)
    held_out = order[:0]
    if test_count is None:
        size = count_held_out(count, test_points)
        held_out, order = order[-size:], order[:-size]
    train = order[: rows or len(order)]
    flipped = rng.permutation(len(train))[: int(len(train) * flip_share)] if flip_share else order[:0]
    shifts = np.asarray([rng.integers(1, classes) for _ in flipped], np.int64)
    test = held_out if test_count is None else rng.permutation(test_count)[:test_points]
    return Draw(train, test, flipped, shifts)


def count_held_out(rows: int, test_points: int) -> int:
    """How many rows of a data set become test points where no others are given: a tenth, at most those asked."""
    return max(1, min(test_points, round(HELD_OUT_SHARE * rows)))


def flip(label: int, shift: int, classes: int) -> int:
    """Another class, `shift` further on in their circle."""
    return (label + shift) % classes


def draw_subsets(rows: int, count: int, share: float, *, seed: int) -> NDArray[np.bool_]:
    """Random subsets (count, rows) of `share` of the rows each, at least one row in and one out."""
    rng = np.random.default_rng(_SUBSETS_STREAM + seed)
    size = min(max(1, int(rows * share)), rows - 1)
    chosen = np.zeros((count, rows), dtype=np.bool_)
    for subset in chosen:
        subset[rng.permutation(rows)[:size]] = True
    return chosen


def training_seed(recipe_seed: int, number: int, repeat: int = 0) -> int:
    """Seed of an experiment's training of that number, and of its repeats: other weights to begin with, another order
    of batches."""
    return (recipe_seed + _TRAININGS_STREAM + number + _REPEATS_APART * repeat) % (1 << 31)
