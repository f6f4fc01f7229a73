"""The basis: leading directions, whatever the block's shape, library and rank."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from influence.compact.basis import damping_of, fit_basis, fit_block, scale_rows


def test_both_gram_matrices_and_the_definition_give_the_same_subspace() -> None:
    rng = np.random.default_rng(1)
    for rows, width in ((40, 200), (200, 40)):
        gradients = rng.normal(size=(rows, 12)) * 0.6 ** np.arange(12) @ rng.normal(size=(12, width))
        block = fit_block(gradients, 0.3, 5)
        reference = np.linalg.svd(scale_rows(gradients, 0.3), full_matrices=False)[2][:5].T
        np.testing.assert_allclose(block.vectors @ block.vectors.T, reference @ reference.T, atol=1e-9)


def test_columns_are_orthonormal_and_signs_do_not_depend_on_the_order_of_rows(problem) -> None:  # type: ignore[no-untyped-def]
    gradients = problem.train[0].astype(np.float32)
    one = fit_block(gradients, 1e-4, 16).vectors
    other = fit_block(gradients[::-1].copy(), 1e-4, 16).vectors
    np.testing.assert_allclose(one.T @ one, np.eye(16), atol=1e-5)
    np.testing.assert_allclose(one[:, :4], other[:, :4], atol=1e-3)


def test_numpy_and_torch_fit_the_same_basis(make_problem: Callable, torch: Any) -> None:  # type: ignore[type-arg]
    train = make_problem(2).train
    damping = damping_of(train, 0.1)
    ours = fit_basis(train, damping, 8)
    theirs = fit_basis([torch.from_numpy(block) for block in train], damping, 8)
    assert ours.ranks == theirs.ranks
    for left, right in zip(ours.blocks, theirs.blocks, strict=True):
        np.testing.assert_allclose(left.vectors, right.vectors, atol=1e-7)
        assert left.kept == pytest.approx(right.kept)


def test_a_zero_block_has_no_directions_and_a_narrow_or_thin_one_fewer(make_problem: Callable) -> None:  # type: ignore[type-arg]
    train = make_problem(3).train
    basis = fit_basis(train, damping_of(train, 0.1), 16)
    assert basis.ranks == (16, 16, 0, 3)
    assert basis.blocks[2].kept == 1.0
    few = [block[:2] for block in train]
    assert fit_basis(few, damping_of(few, 0.1), 16).ranks == (2, 2, 0, 2)


def test_projecting_and_lifting_returns_rows_that_lie_in_the_span(make_problem: Callable) -> None:  # type: ignore[type-arg]
    train = make_problem(4, rows=10).train
    basis = fit_basis(train, damping_of(train, 0.1), 10)
    for block, lifted in zip(train, basis.lift(basis.project(train)), strict=True):
        np.testing.assert_allclose(lifted, block, atol=1e-6 * max(1.0, float(np.abs(block).max())))


def test_a_wide_block_is_fitted_without_a_square_matrix_of_its_width() -> None:
    gradients = np.random.default_rng(6).normal(size=(16, 300_000)).astype(np.float32)
    assert fit_block(gradients, 1.0, 4).vectors.shape == (300_000, 4)  # 300,000 squared would take 360 GB


@pytest.mark.parametrize("shape", [(600, 900), (900, 600)])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_a_few_directions_of_many_rows_are_the_definition_s(shape: tuple[int, int], decay: float, torch: Any) -> None:
    """By iteration, and with equal rows, whose singular values come in groups."""
    rng = np.random.default_rng(8)
    gradients = rng.normal(size=shape) * np.arange(1, shape[1] + 1) ** -decay
    gradients[: shape[0] // 2] = gradients[shape[0] // 2 :]
    scaled = scale_rows(gradients, 0.3)
    values, reference = np.linalg.svd(scaled, full_matrices=False)[1:]
    for block in (fit_block(gradients, 0.3, 20), fit_block(torch.from_numpy(gradients), 0.3, 20)):
        found = np.asarray(block.vectors)
        assert np.linalg.norm(scaled @ found, axis=0) == pytest.approx(values[:20], rel=1e-6)
        np.testing.assert_allclose(np.abs((reference[:20] @ found).diagonal()), 1.0, atol=1e-6)
        assert block.kept == pytest.approx((values[:20] ** 2).sum() / (values**2).sum())


def test_many_rows_without_gradients_or_of_one_direction_have_as_many_as_there_are() -> None:
    assert fit_block(np.zeros((400, 500)), 0.1, 16).vectors.shape == (500, 0)
    block = fit_block(np.outer(np.arange(1.0, 401.0), np.ones(500)), 0.1, 16)
    assert block.vectors.shape == (500, 1)
    assert block.kept == pytest.approx(1.0)


def test_numbers_that_are_not_finite_have_no_directions() -> None:
    gradients = np.ones((300, 400))
    gradients[3, 5] = np.nan
    block = fit_block(gradients, 0.1, 4)
    assert (block.vectors.shape, block.kept) == ((400, 0), 0.0)
