"""The truncated series: where it ends up, and where it runs off."""

import numpy as np
import pytest
from support.gradients.dense_algebra import ORACLES, Convert, as_blocks, changed, lissa, random_problem

from influence.errors import MethodNotOffered
from influence.methods.registry import METHODS
from influence.methods.solves.lissa import largest_eigenvalue


@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_iterations_are_the_terms_of_the_series(iterations: int) -> None:
    train, test = random_problem(1, 30, (8, 40))
    method = changed(METHODS["lissa"], iterations=iterations)
    expected = lissa(train, test, 0.1, iterations)
    found = method.apply(method.prepare(as_blocks(train), 0.1), test).influence
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_long_series_is_the_exact_solve() -> None:
    train, test = random_problem(2, 30, (8, 6))
    method = changed(METHODS["lissa"], iterations=3000)
    expected = ORACLES["exact"](train, test, 1.0)
    found = method.apply(method.prepare(as_blocks(train), 1.0), test).influence
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [5, 200])
def test_the_largest_eigenvalue_is_found(convert: Convert, rows: int) -> None:
    train, _ = random_problem(3, rows, (20,))
    block = as_blocks(train, convert)["block0"]
    expected = np.linalg.eigvalsh(train["block0"].T @ train["block0"] / rows)[-1]
    assert largest_eigenvalue(block) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("size", [1e-11, 1e-13, 1e-15])
def test_the_series_does_not_depend_on_the_size_of_gradients(size: float) -> None:
    """Damping follows their squares, so that the scores of gradients of one part of a size stay the same."""
    train, test = random_problem(5, 30, (8, 40))
    small_test = {key: (values * size).astype(np.float32) for key, values in test.items()}
    blocks = as_blocks(train, lambda values: (values * size).astype(np.float32))
    method = METHODS["lissa"]
    expected = method.apply(method.prepare(as_blocks(train)), test).influence
    found = method.apply(method.prepare(blocks), small_test).influence
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_papers_series_is_refused_where_it_runs_off(convert: Convert, dtype: str) -> None:
    train, test = random_problem(4, 30, (8,))
    blocks = as_blocks({key: 1e12 * rows for key, rows in train.items()}, lambda rows: convert(rows, dtype))
    method = changed(METHODS["lissa-paper"], iterations=100)
    with pytest.raises(MethodNotOffered, match="diverges"):
        method.apply(method.prepare(blocks), {key: convert(rows, dtype) for key, rows in test.items()})
