"""What many say of their parts of the scores is what one says who holds all of them, to the bit."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from influence.ranking.exact_sums import ExactSums, sum_exactly
from influence.ranking.held import HeldScores
from influence.ranking.merged import MergedScores, Replaced, Unknown
from influence.ranking.statistics import (
    QUANTILES,
    Distribution,
    histogram,
    percentiles,
    readable_scales,
    summarise,
)

Scores = NDArray[np.float32]
#: Ties, a spike of zeros, heavy tails, and numbers that no other is near to.
KINDS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda rng, count: rng.normal(size=count),
    "heavy tails": lambda rng, count: rng.standard_cauchy(count) * 1e3,
    "few values": lambda rng, count: rng.integers(-2, 3, count).astype(np.float64),
    "mostly zero": lambda rng, count: rng.normal(size=count) * (rng.random(count) < 0.2),
    "one sign": lambda rng, count: rng.exponential(size=count) + 5,
    "alike": lambda _rng, count: np.full(count, -2.5),
}


def read(scores: Distribution, shown: Scores) -> list[object]:
    relative, robust = readable_scales(scores, shown)
    return [
        histogram(scores).model_dump(),
        summarise(scores),
        percentiles(scores, shown).tolist(),
        relative.tolist(),
        None if robust is None else robust.tolist(),
    ]


def ask(parts: list[HeldScores], replaced: Replaced, shown: Scores, marks: int) -> tuple[MergedScores, int]:
    """Ask the parts as long as something is missing; answers in how many rounds nothing was."""
    known = [part.mark(-np.inf, np.inf, marks, ends=2) for part in parts]
    sums = sum((part.sums for part in parts), ExactSums())
    for rounds in range(100):
        merged = MergedScores(known, [part.count for part in parts], sums, replaced)
        wanted = merged.missing(shown)
        if not wanted:
            return merged, rounds
        for low, high in wanted:
            known = [old.join(part.mark(low, high, marks)) for old, part in zip(known, parts, strict=True)]
    raise AssertionError("the rounds do not end")


@given(st.data())
@pytest.mark.parametrize("kind", list(KINDS))
def test_parts_say_what_the_whole_says(kind: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=8))
    values = KINDS[kind](rng, sum(sizes)).astype(np.float32)
    parts = [HeldScores.of(part) for part in np.split(values, np.cumsum(sizes)[:-1])]
    changed = rng.choice(len(values), data.draw(st.integers(0, min(20, len(values)))), replace=False)
    after = values.copy()
    after[changed] = rng.choice(values, len(changed)) * np.float32(rng.choice([1.0, 0.5, 40.0]))
    replaced = Replaced.of(values[changed], after[changed])
    shown = rng.choice(after, min(10, len(after)))
    merged, _ = ask(parts, replaced, shown, marks=data.draw(st.integers(1, 64)))
    whole = HeldScores.of(after)
    assert merged.count == whole.count
    assert read(merged, shown) == read(whole, shown)


def test_many_scores_take_two_rounds_and_few_marks() -> None:
    values = np.random.default_rng(1).normal(size=400_000).astype(np.float32)
    parts = [HeldScores.of(part) for part in np.array_split(values, 7)]
    shown = np.sort(values)[[0, 1, -1]]
    merged, rounds = ask(parts, Replaced.of(values[:0], values[:0]), shown, marks=1024)
    assert rounds <= 2
    assert max(len(part.values) for part in merged.parts) < 0.15 * parts[0].count
    assert read(merged, shown) == read(HeldScores.of(values), shown)


def test_one_mark_a_round_halves_what_is_not_known() -> None:
    values = np.random.default_rng(125).standard_cauchy(2000).astype(np.float32)
    merged, rounds = ask([HeldScores.of(values)], Replaced.of(values[:0], values[:0]), values[:3], marks=1)
    assert rounds < 30
    assert read(merged, values[:3]) == read(HeldScores.of(values), values[:3])


def test_what_was_not_asked_is_not_guessed() -> None:
    part = HeldScores.of(np.arange(100, dtype=np.float32))
    merged = MergedScores([part.mark(-np.inf, np.inf, 3)], [100], part.sums)
    with pytest.raises(Unknown):
        merged.order(np.array([20]))
    with pytest.raises(Unknown):
        merged.below(np.array([20.5], np.float32))
    with pytest.raises(Unknown):
        merged.order_distances(50.0, np.array([20]))
    assert merged.order(np.array([0, 99])).tolist() == [0.0, 99.0]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_sums_have_no_rounding(values: list[float]) -> None:
    check_sums(np.array(values, np.float32))


@pytest.mark.parametrize("spread", [0, 3, 30, 76])
def test_sums_of_many_numbers_in_any_order_have_no_rounding(spread: int) -> None:
    """More than one piece of numbers, next to each other of very different sizes."""
    rng = np.random.default_rng(spread)
    check_sums(np.ldexp(rng.normal(size=20_001), rng.integers(-spread - 1, spread + 1, 20_001)).astype(np.float32))
    largest = np.full(9000, np.finfo(np.float32).max)
    check_sums(np.concatenate([largest, -largest[:100], np.full(9000, 2.0**-149, np.float32)]))


def check_sums(values: Scores) -> None:
    found = sum_exactly(values)
    assert found.count == len(values)
    assert Fraction(found.total, 2**149) == sum(map(Fraction, values.tolist()))
    assert Fraction(found.squares, 2**298) == sum(Fraction(value) ** 2 for value in values.tolist())


def test_a_summary_is_numpy_s() -> None:
    values = np.random.default_rng(0).standard_t(2, 70_001).astype(np.float32)
    found = summarise(HeldScores.of(values))
    known = values.astype(np.float64)
    assert found["mean"] == pytest.approx(known.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(known.std(), rel=1e-12)
    np.testing.assert_allclose(
        [found[name] for name in QUANTILES], np.quantile(known, list(QUANTILES.values())), rtol=1e-12
    )
    counts = histogram(HeldScores.of(values))
    np.testing.assert_array_equal(counts.hist, np.histogram(values, 50)[0])
