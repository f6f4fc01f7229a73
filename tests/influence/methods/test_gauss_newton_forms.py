"""One solve, three ways to it: through rows, through coordinates, by iteration."""

import numpy as np
import pytest
from support.gradients.dense_algebra import ORACLES, Convert, as_blocks, changed, random_problem

from influence import arrays
from influence.errors import MethodNotOffered
from influence.methods.algebra import blocks as passes
from influence.methods.algebra import linear_algebra, systems
from influence.methods.algebra.linear_algebra import solve_cholesky
from influence.methods.registry import METHODS
from influence.methods.solves import gauss_newton


@pytest.mark.parametrize("name", ["exact", "proximal", "joint"])
@pytest.mark.parametrize(("rows", "form"), [(8, "rows"), (90, "coordinates")])
def test_the_smaller_system_is_factored(name: str, rows: int, form: str) -> None:
    train, _ = random_problem(1, rows, (12, 20))
    state = METHODS[name].prepare(as_blocks(train))
    assert {group.form for group in state.groups} == {form}


@pytest.mark.parametrize("name", ["exact", "proximal", "joint"])
@pytest.mark.parametrize("limit", [{"order_limit": 4}, {"factor_bytes_limit": 100}])
def test_systems_beyond_a_limit_are_solved_by_iteration(convert: Convert, name: str, limit: dict[str, int]) -> None:
    train, test = random_problem(2, 40, (12, 20), dead=1)
    method = changed(METHODS[name], **limit)
    state = method.prepare(as_blocks(train, convert), 0.1)
    assert {group.form for group in state.groups} == {"iterative"}
    found = np.asarray(method.apply(state, {key: convert(value) for key, value in test.items()}).influence)
    expected = ORACLES[name](train, test, 0.1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_only_the_factors_that_fit_are_kept() -> None:
    train, test = random_problem(3, 40, (12, 12, 12))
    method = changed(METHODS["exact"], factor_bytes_limit=2 * 8 * 12**2)
    state = method.prepare(as_blocks(train), 0.1)
    assert [group.form for group in state.groups] == ["coordinates", "coordinates", "iterative"]
    expected = ORACLES["exact"](train, test, 0.1)
    found = method.apply(state, test).influence
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_a_solve_that_does_not_converge_is_an_error_not_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauss_newton, "ITERATION_LIMIT", 2)
    train, test = random_problem(4, 40, (30,))
    method = changed(METHODS["exact"], order_limit=4)
    with pytest.raises(MethodNotOffered, match="did not converge in 2 passes") as refused:
        method.apply(method.prepare(as_blocks(train), 0.001), test)
    assert "damping_scale" in refused.value.hint


def test_a_test_point_with_zero_gradient_is_solved_too() -> None:
    train, test = random_problem(5, 40, (12,))
    test["block0"][1] = 0.0
    method = changed(METHODS["exact"], order_limit=4)
    assert not np.any(method.apply(method.prepare(as_blocks(train)), test).influence[1])


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("rows", [9, 70])
def test_small_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch, name: str, rows: int) -> None:
    train, test = random_problem(6, rows, (12, 20))
    method = METHODS[name]
    expected = method.apply(method.prepare(as_blocks(train), 0.5), test).influence
    monkeypatch.setattr(arrays, "CHUNK_BYTES", {"cpu": 8 * 20 * 4})
    monkeypatch.setattr(linear_algebra, "JOINED_BYTES", 8 * 20 * 4)
    monkeypatch.setattr(linear_algebra, "TILE_ROWS", 4)
    monkeypatch.setattr(systems, "JOINED_BYTES", 8 * 32 * 4)
    monkeypatch.setattr(passes, "JOINED_BYTES", 8 * 32 * 4)
    monkeypatch.setattr(passes, "SELF_CHUNK_BYTES", 8 * 32 * 4)
    found = method.apply(method.prepare(as_blocks(train), 0.5), test).influence
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("order", [1, 255, 256, 257, 700])
def test_triangular_solves_equal_the_inverse(convert: Convert, order: int) -> None:
    random = np.random.default_rng(order)
    square = random.standard_normal((order, order))
    matrix = square @ square.T / order + np.eye(order)
    right = random.standard_normal((order, 3))
    found = solve_cholesky(convert(np.linalg.cholesky(matrix)), convert(right))
    np.testing.assert_allclose(np.asarray(found), np.linalg.solve(matrix, right), rtol=0, atol=1e-10)
