"""The optimiser's metric: its preconditioner, and what follows for scores in it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.coded import Problem, code_rows
from support.gradients.dense_algebra import Floats, Gradients, as_blocks, preconditioned, random_problem

from influence.compact.encoder import fit_encoder
from influence.compact.packing import pack_encoder, unpack_encoder
from influence.compact.preconditioning import GradientMoments, find_roots, take_moments
from influence.errors import InvalidRequest
from influence.methods.algebra.rescaled import with_roots
from influence.methods.registry import METHODS
from influence.methods.solves.preconditioned import Preconditioned

METHOD = Preconditioned()
seeds = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None)


def influence_of(
    train: Gradients, test: Gradients, scale: float = 10.0, batch_rows: int = 1, method: Preconditioned = METHOD
) -> Floats:
    blocks = with_roots(as_blocks(train), batch_rows)
    return np.asarray(method.apply(method.prepare(blocks, scale), test).influence)


@pytest.mark.parametrize("batch_rows", [1, 7, 32])
@pytest.mark.parametrize("limits", [{}, {"order_limit": 4}, {"order_limit": 30}])
def test_scores_equal_dense_algebra_for_every_batch_size_and_every_form_of_the_solve(
    batch_rows: int, limits: dict[str, Any]
) -> None:
    train, test = random_problem(3, 24, (9, 20, 4), dead=1)
    method = replace(METHOD, solve=replace(METHOD.solve, **limits))
    expected = preconditioned(train, test, 0.2, batch_rows)
    found = influence_of(train, test, 0.2, batch_rows, method)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@few
@given(seed=seeds, rows=st.integers(2, 30))
def test_endless_damping_leaves_the_product_as_adam_takes_its_steps(seed: int, rows: int) -> None:
    train, test = random_problem(seed, rows, (5, 12))
    roots = find_roots([take_moments([block]) for block in train.values()])
    expected = -np.sum([(test[name] * r**2) @ train[name].T for name, r in zip(train, roots, strict=True)], axis=0)
    np.testing.assert_allclose(influence_of(train, test, 1e6), expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@few
@given(seed=seeds, factor=st.sampled_from([1e-3, 10.0]))
def test_a_loss_in_other_units_changes_the_scores_by_that_factor_where_damping_keeps_its_unit(
    seed: int, factor: float
) -> None:
    train, test = random_problem(seed, 12, (5, 12))
    louder, asked = ({name: factor * rows for name, rows in part.items()} for part in (train, test))
    found = influence_of(louder, asked, 10.0 * factor)
    expected = factor * influence_of(train, test, 10.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_the_moment_is_that_of_batches_of_rows() -> None:
    rows = np.random.default_rng(0).normal(0.3, 1.0, (40, 6))
    batches = rows[np.random.default_rng(1).integers(0, 40, (200_000, 4))].mean(1)
    (roots,) = find_roots([take_moments([rows[:25], rows[25:]])], batch_rows=4)
    size = np.sqrt((batches**2).mean(0))
    np.testing.assert_allclose(roots**-2, size + 0.1 * np.median(size), rtol=0.01)


def test_parameters_without_any_gradient_do_not_set_the_floor() -> None:
    alive = GradientMoments(np.zeros(3), np.array([1.0, 4.0, 9.0]))
    dead = GradientMoments(np.zeros(50), np.zeros(50))
    np.testing.assert_array_equal(find_roots([dead, alive])[1], find_roots([alive])[0])
    np.testing.assert_array_equal(find_roots([dead])[0], np.ones(50))


def test_codes_come_close_at_the_bytes_of_the_others(problem: Problem) -> None:
    train = {str(number): block for number, block in enumerate(problem.train)}
    test = {str(number): block for number, block in enumerate(problem.test)}
    rows = code_rows(problem.train, rank=12, metric="optimizer")
    assert rows.codes.values.shape == code_rows(problem.train, rank=12).codes.values.shape
    expected = influence_of(train, test)
    assert METHOD.on_codes is not None
    state = METHOD.on_codes.prepare(rows, METHOD.damping_scale(None))
    found = state.share_blocks(state.directions(problem.test), problem.train).sum(0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01 * np.abs(expected).max())


def test_the_preconditioner_is_kept_with_the_encoder(problem: Problem) -> None:
    encoder = fit_encoder([block.astype(np.float32) for block in problem.train], rank=4, metric="optimizer")
    arrays = pack_encoder(encoder)
    assert arrays["roots"].dtype == np.float32
    assert len(arrays["roots"]) == sum(encoder.parameters)
    read = unpack_encoder(arrays)
    assert read.metric == "optimizer"
    for mine, theirs in zip(encoder.project(problem.train).codes, read.project(problem.train).codes, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5 * np.abs(mine).max())
    assert "roots" not in pack_encoder(fit_encoder(problem.train, rank=4))


def test_a_damping_that_cannot_be_used_is_refused() -> None:
    train, _ = random_problem(0, 4, (3,))
    with pytest.raises(InvalidRequest, match="has to be a number of at least"):
        METHODS["preconditioned"].prepare(as_blocks(train), 0.0)
