"""Properties that hold for every gradient: each says in words what no library may get wrong."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gradients.dense_algebra import as_blocks, factors_of, random_problem

from influence.damping import block_dampings
from influence.errors import InvalidRequest
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.registry import METHODS

LINEAR = (
    "datainf",
    "exact",
    "proximal",
    "preconditioned",
    "joint",
    "hessian_free",
    "ekfac",
    "lissa",
    "lissa-paper",
    "relative",
)
DAMPED = ("datainf", "exact", "joint", "ekfac", "lissa")
SEPARATE = ("datainf", "exact", "proximal", "hessian_free", "ekfac", "lissa")

each_method = pytest.mark.parametrize("name", sorted(METHODS))
seeds = st.integers(0, 10_000)
row_counts = st.integers(2, 30)
few = settings(max_examples=15, deadline=None)


def influence_of(name: str, train: Mapping[str, Any], test: Mapping[str, Any], scale: float = 0.5) -> Any:
    method = METHODS[name]
    blocks = train if isinstance(next(iter(train.values())), TrainBlock) else as_blocks(train)
    return method.apply(method.prepare(blocks, scale), test).influence


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * (np.abs(expected).max() + 1e-300))


@each_method
@few
@given(seed=seeds, rows=row_counts)
def test_permuted_rows_have_permuted_scores(name: str, seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    order = np.random.default_rng(seed).permutation(rows)
    shuffled = {key: value[order] for key, value in train.items()}
    assert_same(influence_of(name, shuffled, test), influence_of(name, train, test)[:, order])


@pytest.mark.parametrize("name", LINEAR)
@few
@given(seed=seeds, rows=row_counts, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_influence_is_linear_in_the_test_gradient(name: str, seed: int, rows: int, a: float, b: float) -> None:
    train, test = random_problem(seed, rows, (5, 12), points=2)
    mixed = {key: a * value[:1] + b * value[1:] for key, value in test.items()}
    apart = influence_of(name, train, test)
    expected = a * apart[:1] + b * apart[1:]
    np.testing.assert_allclose(influence_of(name, train, mixed), expected, rtol=0, atol=1e-9 * np.abs(apart).max())


@pytest.mark.parametrize("name", SEPARATE)
@few
@given(seed=seeds, rows=row_counts)
def test_blocks_add_up(name: str, seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12, 3))
    alone = [influence_of(name, {key: train[key]}, {key: test[key]}) for key in train]
    assert_same(influence_of(name, train, test), sum(alone))


@each_method
@few
@given(seed=seeds, rows=row_counts, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_shards_change_nothing(name: str, seed: int, rows: int, cuts: list[int]) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    edges = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    pairs = list(pairwise(edges))
    sharded = {
        key: replace(TrainBlock.of(tuple(value[a:b] for a, b in pairs)), factors=factors_of(value))
        for key, value in train.items()
    }
    method, chosen = METHODS[name], np.random.default_rng(seed).integers(0, rows, 5)
    expected = influence_of(name, train, test)
    assert_same(influence_of(name, sharded, test), expected)
    some = method.apply(method.prepare(sharded, 0.5), test, rows=chosen).influence
    assert_same(some, expected[:, chosen])


@each_method
@few
@given(seed=seeds, rows=row_counts)
def test_a_test_points_score_does_not_depend_on_its_batch(name: str, seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12), points=4)
    alone = [influence_of(name, train, {key: value[i : i + 1] for key, value in test.items()}) for i in range(4)]
    assert_same(influence_of(name, train, test), np.concatenate(alone))


@pytest.mark.parametrize("name", ["datainf", "exact"])
@few
@given(seed=seeds, scale=st.sampled_from([0.01, 0.1, 10.0]))
def test_one_row_gives_the_exact_inverse(name: str, seed: int, scale: float) -> None:
    train, test = random_problem(seed, 1, (5,))
    row, points = train["block0"], test["block0"]
    inverse = np.linalg.inv(row.T @ row + scale * np.sum(row**2) / 5 * np.eye(5))
    assert_same(influence_of(name, train, test, scale), -points @ inverse @ row.T)


@each_method
@few
@given(seed=seeds, rows=row_counts)
def test_doubling_the_data_set_changes_no_score(name: str, seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    doubled = {key: np.concatenate([value, value]) for key, value in train.items()}
    expected = influence_of(name, train, test)
    assert_same(influence_of(name, doubled, test), np.concatenate([expected, expected], 1))


@pytest.mark.parametrize("name", DAMPED)
@few
@given(seed=seeds, rows=row_counts)
def test_endless_damping_leaves_the_inner_product_over_lambda(name: str, seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    dampings = block_dampings(as_blocks(train), 1e6)
    expected = -sum(test[key] @ train[key].T / dampings[key] for key in train)
    assert_same(influence_of(name, train, test, 1e6), expected, 1e-4)


@few
@given(seed=seeds, rows=row_counts)
def test_endless_damping_leaves_proximal_the_plain_inner_product(seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    assert_same(influence_of("proximal", train, test, 1e6), influence_of("hessian_free", train, test), 1e-4)


@few
@given(seed=seeds, rows=row_counts, scale=st.sampled_from([0.01, 0.5, 10.0]))
def test_proximal_is_exact_with_each_block_times_its_damping(seed: int, rows: int, scale: float) -> None:
    train, test = random_problem(seed, rows, (5, 12, 3))
    dampings = block_dampings(as_blocks(train), scale)
    parts = [dampings[key] * influence_of("exact", {key: train[key]}, {key: test[key]}, scale) for key in train]
    assert_same(influence_of("proximal", train, test, scale), sum(parts))


@each_method
@few
@given(seed=seeds, rows=row_counts, dead=st.integers(0, 2))
def test_a_block_without_gradients_contributes_nothing(name: str, seed: int, rows: int, dead: int) -> None:
    train, test = random_problem(seed, rows, (5, 12, 3), dead=dead)
    without = {key: value for key, value in train.items() if key != f"block{dead}"}
    if name == "cosine":
        test[f"block{dead}"] *= 0.0  # it would count in the test point's length
    assert_same(influence_of(name, train, test), influence_of(name, without, test))


@each_method
def test_an_index_of_zero_gradients_scores_zero(name: str) -> None:
    train = {"a": np.zeros((4, 3)), "b": np.zeros((4, 5))}
    test = {"a": np.ones((2, 3)), "b": np.ones((2, 5))}
    method = METHODS[name]
    state = method.prepare(as_blocks(train), 0.5)
    scores = method.apply(state, test, per_block=True)
    np.testing.assert_array_equal(scores.influence, np.zeros((2, 4)))
    np.testing.assert_array_equal(method.apply(state, test).influence, np.zeros((2, 4)))
    if method.has_self_influence:
        np.testing.assert_array_equal(method.self_influence(state), np.zeros(4))


@each_method
def test_an_index_without_rows_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="no rows"):
        METHODS[name].prepare({"a": TrainBlock.of(np.zeros((0, 3)))})


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-300, float("nan"), float("inf")])
@pytest.mark.parametrize("name", DAMPED)
def test_a_damping_scale_that_cannot_be_used_is_refused(name: str, scale: float) -> None:
    train, _ = random_problem(0, 4, (3,))
    with pytest.raises(InvalidRequest, match="has to be a number of at least"):
        METHODS[name].prepare(as_blocks(train), scale)


@pytest.mark.parametrize("name", DAMPED)
def test_the_smallest_damping_that_is_taken_still_gives_numbers(name: str) -> None:
    train, test = random_problem(0, 4, (3, 30))
    assert np.isfinite(influence_of(name, train, test, 1e-9)).all()


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("size", [1e-12, 1e-19, 1e-21, 1e-23, 1e-30, 1e-42])
def test_scores_are_numbers_however_small_the_gradients_of_a_block_are(name: str, size: float) -> None:
    train, test = random_problem(3, 12, (5, 40))
    small = next(iter(train))
    small_train, small_test = (
        {key: (value * (size if key == small else 1.0)).astype(np.float32) for key, value in side.items()}
        for side in (train, test)
    )
    with np.errstate(all="ignore"):
        assert np.isfinite(influence_of(name, small_train, small_test)).all()
