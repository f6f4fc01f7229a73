"""Every method against explicit inverses in float64, on numpy and torch, in every stored type."""

from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.gradients.dense_algebra import ORACLES, Convert, as_blocks, dampings, datainf, random_problem

from influence.methods.registry import METHODS

#: Fewer rows than parameters, and more.
SHAPES = {"few_rows": (7, (9, 20, 4)), "many_rows": (60, (9, 20, 4))}
TOLERANCE = {"float64": 1e-10, "float32": 1e-4, "float16": 5e-3}
WITH_SELF_INFLUENCE = sorted(name for name, method in METHODS.items() if method.has_self_influence)


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Within `tolerance` of the largest value: scores are compared with each other, not with zero."""
    actual = np.asarray(actual, dtype=np.float64)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_every_method_has_an_oracle() -> None:
    assert set(ORACLES) == set(METHODS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_influence_equals_explicit_inverses(convert: Convert, name: str, dtype: str, shape: str) -> None:
    train, test = random_problem(5, *SHAPES[shape])
    method = METHODS[name]
    state = method.prepare(as_blocks(train, lambda array: convert(array, dtype)), 0.3)
    scores = method.apply(state, {key: convert(value, dtype) for key, value in test.items()})
    assert str(scores.influence.dtype).endswith("float64" if dtype == "float64" else "float32")
    assert_close(scores.influence, ORACLES[name](train, test, 0.3), TOLERANCE[dtype])


@pytest.mark.parametrize("name", sorted(METHODS))
def test_parts_by_block_add_up_and_chosen_rows_score_as_among_all(convert: Convert, name: str) -> None:
    train, test = random_problem(6, 30, (9, 20, 4))
    method = METHODS[name]
    state = method.prepare(as_blocks(train, convert))
    points = {key: convert(value) for key, value in test.items()}
    everything = np.asarray(method.apply(state, points).influence)
    chosen = np.array([29, 3, 3, 17])
    split = method.apply(state, points, rows=chosen, per_block=True)
    assert_close(split.influence, everything[:, chosen], 1e-10)
    assert set(present(split.blocks)) == set(train)
    assert_close(sum(present(split.blocks).values()), everything[:, chosen], 1e-10)


@pytest.mark.parametrize("name", WITH_SELF_INFLUENCE)
def test_self_influence_comes_piece_by_piece(convert: Convert, name: str) -> None:
    train, _ = random_problem(11, 23, (8, 5))
    method = METHODS[name]
    state = method.prepare(as_blocks(train, convert), 0.3)
    pieces = [method.self_influence(state, slice(start, start + 7)) for start in range(0, 23, 7)]
    np.testing.assert_allclose(np.concatenate(pieces), method.self_influence(state), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", WITH_SELF_INFLUENCE)
def test_self_influence_is_the_score_of_a_row_on_itself(convert: Convert, name: str, dtype: str) -> None:
    train, _ = random_problem(7, 25, (9, 20, 4), dead=2)
    method = METHODS[name]
    found = method.self_influence(method.prepare(as_blocks(train, lambda array: convert(array, dtype)), 0.3))
    expected = -np.diag(ORACLES[name](train, train, 0.3))
    assert expected.min() > 0
    assert_close(found, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_training_row_equal_to_the_test_point_is_helpful(name: str) -> None:
    train, _ = random_problem(8, 12, (9, 4))
    method = METHODS[name]
    state = method.prepare(as_blocks(train))
    influence = method.apply(state, {key: rows[4:5] for key, rows in train.items()}).influence
    assert influence[0, 4] < 0


def test_the_dense_form_of_datainf_is_the_closed_form() -> None:
    train, test = random_problem(9, 5, (6,))
    rows, points = train["block0"], test["block0"]
    damping = dampings(train, 0.1)["block0"]
    expected = np.zeros((3, 5))
    for i, v in enumerate(points):
        for k, g in enumerate(rows):
            mean = np.mean([v @ h * (h @ g) / (damping + h @ h) for h in rows])
            expected[i, k] = -(v @ g - mean) / damping
    assert_close(datainf(train, test, 0.1), expected, 1e-12)
