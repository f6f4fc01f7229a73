"""Rows drawn for an experiment: seeded, spread over classes, each once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from influence.evaluating.selection import hold_out, spread_over_classes

classes = st.lists(st.sampled_from("abc"), min_size=1, max_size=40)


@given(classes, st.integers(0, 50), st.integers(0, 5))
def test_classes_take_turns_until_they_have_no_rows(names: list[str], count: int, seed: int) -> None:
    chosen = spread_over_classes(names, count, seed=seed).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(names))
    taken, there = Counter(names[row] for row in chosen), Counter(names)
    most = max(taken.values(), default=0)
    assert all(taken[name] >= min(most - 1, there[name]) for name in there)
    assert chosen == spread_over_classes(names, count, seed=seed).tolist()


def test_another_seed_draws_other_rows() -> None:
    names = ["a", "b"] * 50
    draws = {tuple(spread_over_classes(names, 10, seed=seed).tolist()) for seed in range(5)}
    assert len(draws) == 5


@given(classes)
def test_what_is_held_out_is_not_kept(names: list[str]) -> None:
    kept, held = hold_out(names, seed=0)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(names)))
    assert len(held) == -(-len(names) // 10)
