"""Counting what a ranking found."""

import math
import random

import pytest

from demo.reckoning import reckon


def test_a_perfect_ranking_finds_every_wrong_label():
    found = reckon([9.0, -1.0, 8.0, *range(-20, -3)], [True, False, True, *[False] * 17])
    assert (found.top, found.found, found.precision, found.recall, found.auc) == (2, 2, 1.0, 1.0, 1.0)


def test_most_harmful_means_most_positive_influence():
    found = reckon([-9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [True, *[False] * 9])
    assert (found.found, found.auc) == (0, 0.0)


def test_equal_scores_are_worth_a_coin():
    assert reckon([1.0] * 10, [True] * 3 + [False] * 7).auc == 0.5


def test_auc_counts_the_pairs_in_order():
    chance = random.Random(3)
    scores = [float(chance.randint(0, 9)) for _ in range(60)]
    wrong = [chance.random() < 0.3 for _ in range(60)]
    pairs = [(a > b) + (a == b) / 2 for a, x in zip(scores, wrong, strict=True) if x
             for b, y in zip(scores, wrong, strict=True) if not y]  # fmt: skip
    assert math.isclose(reckon(scores, wrong).auc, sum(pairs) / len(pairs))


@pytest.mark.parametrize(
    ("scores", "wrong"),
    [
        ([1.0, math.nan], [True, False]),
        ([1.0], [True, False]),
        ([1.0, 2.0], [True, True]),
        ([1.0, 2.0], [False, False]),
    ],
)
def test_what_cannot_be_counted_is_refused(scores, wrong):
    with pytest.raises(ValueError, match="finite score"):
        reckon(scores, wrong)
