"""EK-FAC where it differs from the other solves: what its factors decide, and what happens without them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.answered import present
from support.gradients.dense_algebra import Convert, as_blocks, dampings, ekfac, exact, factors_of, random_problem

from influence.errors import MethodNotOffered
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.registry import METHODS

METHOD = METHODS["ekfac"]


def influence(blocks: Mapping[str, TrainBlock], test: Mapping[str, Any], scale: float = 0.1) -> Any:
    return METHOD.apply(METHOD.prepare(blocks, scale), test).influence


def test_the_eigenvalue_corrected_factors_written_out_give_the_same_scores(convert: Convert) -> None:
    train, test = random_problem(1, 80, (12, 20, 7))
    expected = ekfac(train, test, 0.1)
    found = np.asarray(influence(as_blocks(train, convert), {key: convert(rows) for key, rows in test.items()}))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_the_size_of_the_factors_does_not_count_only_their_directions() -> None:
    train, test = random_problem(2, 30, (12, 20))
    blocks = as_blocks(train)
    scaled = {
        key: replace(block, factors=(7.0 * present(block.factors)[0], present(block.factors)[1]))
        for key, block in blocks.items()
    }
    np.testing.assert_allclose(influence(scaled, test), influence(blocks, test), rtol=1e-9)


def test_a_block_without_factors_takes_its_diagonal() -> None:
    train, test = random_problem(3, 30, (12, 20))
    blocks = as_blocks(train)
    blocks["block1"] = replace(blocks["block1"], factors=None)
    state = METHOD.prepare(blocks, 0.1)
    rows, points = train["block1"], test["block1"]
    diagonal = np.mean(rows**2, axis=0) + dampings(train, 0.1)["block1"]
    expected = -(points / diagonal) @ rows.T
    found = present(METHOD.apply(state, test, per_block=True).blocks)["block1"]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_where_gradients_are_independent_in_the_factors_basis_it_is_the_exact_solve() -> None:
    random = np.random.default_rng(4)
    left, right = (np.linalg.qr(random.standard_normal((size, size)))[0] for size in (3, 4))
    # One direction of the basis a row, each met equally often: the matrix is diagonal there, whatever its entries.
    sizes = np.repeat(random.uniform(0.5, 2.0, 12), 5)
    rows = (np.repeat(np.eye(12), 5, axis=0) * sizes[:, None]) @ np.kron(left, right).T
    train, test = {"a": rows}, {"a": random.standard_normal((3, 12))}
    block = replace(as_blocks(train)["a"], factors=(left * [1.0, 2.0, 3.0] @ left.T, right * [1.0, 2, 3, 4] @ right.T))
    np.testing.assert_allclose(influence({"a": block}, test), exact(train, test, 0.1), rtol=1e-8)


def test_an_index_without_factors_is_refused_with_what_to_build() -> None:
    train, _ = random_problem(5, 10, (12,))
    bare = {key: replace(block, factors=None) for key, block in as_blocks(train).items()}
    with pytest.raises(MethodNotOffered, match="Kronecker factors") as refused:
        METHOD.prepare(bare)
    assert "kronecker true" in refused.value.hint


def test_factors_of_another_weight_are_an_error_not_a_score() -> None:
    train, _ = random_problem(6, 10, (12,))
    wrong = replace(as_blocks(train)["block0"], factors=factors_of(np.ones((2, 20))))
    with pytest.raises(ValueError, match="do not fit"):
        METHOD.prepare({"a": wrong})


def test_the_prepared_state_lets_the_factors_go() -> None:
    train, _ = random_problem(7, 10, (12,))
    assert METHOD.prepare(as_blocks(train)).blocks["block0"].factors is None
