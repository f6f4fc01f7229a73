"""The same methods on codes: rows (n, k) in an orthonormal basis, with the norms of the full gradients."""

import numpy as np
import pytest
from dense_algebra import ORACLES, as_blocks, random_problem

from influence.damping import block_dampings
from influence.methods.algebra.blocks import TrainBlock
from influence.methods.algebra.systems import joined_second_moment
from influence.methods.registry import METHODS

#: Kronecker factors are of whole gradients.
WITHOUT_FACTORS = sorted(name for name, method in METHODS.items() if not method.needs_factors)


def encode(train, test, ranks):
    """Codes of train and test gradients by the leading right singular vectors of each block."""
    blocks, points = {}, {}
    for (name, rows), rank in zip(train.items(), ranks, strict=True):
        basis = np.linalg.svd(rows, full_matrices=False)[2][:rank].T
        blocks[name] = TrainBlock(rows @ basis, np.sum(rows**2, 1), rows.shape[1])
        points[name] = test[name] @ basis
    return blocks, points


def squared_norms(test):
    return sum(np.sum(rows**2, 1) for rows in test.values())


@pytest.mark.parametrize("name", WITHOUT_FACTORS)
def test_codes_that_span_all_rows_lose_nothing(name):
    train, test = random_problem(1, 6, (30, 12))
    blocks, points = encode(train, test, (6, 6))
    method = METHODS[name]
    found = method.apply(method.prepare(blocks, 0.2), points, test_squared_norms=squared_norms(test)).influence
    expected = ORACLES[name](train, test, 0.2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_datainf_on_codes_uses_the_exact_norms():
    train, test = random_problem(2, 20, (15,))
    blocks, points = encode(train, test, (4,))
    codes, norms, points = blocks["block0"].gradients, blocks["block0"].squared_norms, points["block0"]
    damping = 0.1 * norms.mean() / 15
    turned = (points - (points @ codes.T / (damping + norms)) @ codes / 20) / damping
    method = METHODS["datainf"]
    found = method.apply(method.prepare(blocks, 0.1), {"block0": points}).influence
    np.testing.assert_allclose(found, -turned @ codes.T, rtol=1e-10)


@pytest.mark.parametrize("name", ["datainf", "hessian_free", "exact", "proximal", "joint", "lissa"])
def test_self_influence_counts_what_the_codes_leave_out(name):
    train, _ = random_problem(3, 40, (16, 9))
    method = METHODS[name]
    exact = method.self_influence(method.prepare(as_blocks(train), 5.0))
    blocks, _ = encode(train, train, (12, 7))
    found = method.self_influence(method.prepare(blocks, 5.0))
    assert np.corrcoef(found, exact)[0, 1] > 0.99
    np.testing.assert_allclose(found, exact, rtol=0.2)


@pytest.mark.parametrize("name", WITHOUT_FACTORS)
def test_integer_codes_with_scales_are_the_rows_they_stand_for(convert, name):
    random = np.random.default_rng(4)
    whole = random.integers(-127, 128, (25, 8)).astype(np.int8)
    scales = random.uniform(0.001, 0.01, 25)
    rows = whole * scales[:, None]
    norms = 1.5 * np.sum(rows**2, 1)
    test = {"a": convert(random.standard_normal((3, 8)), "float32")}
    packed = TrainBlock(convert(whole, "int8"), convert(norms, "float32"), 20, convert(scales, "float32"))
    plain = TrainBlock(convert(rows, "float32"), convert(norms, "float32"), 20)
    method = METHODS[name]
    chosen = np.array([3, 0, 24])
    found, expected = (method.prepare({"a": block}, 1.0) for block in (packed, plain))
    for selection in (None, chosen):
        np.testing.assert_allclose(
            method.apply(found, test, rows=selection).influence,
            method.apply(expected, test, rows=selection).influence,
            rtol=1e-3,
            atol=1e-4,
        )


@pytest.mark.parametrize("name", ["exact", "proximal", "joint"])
def test_a_kept_second_moment_stands_for_the_rows(convert, name):
    train, test = random_problem(5, 50, (16, 9, 7), dead=1)
    blocks, points = encode(train, test, (5, 4, 3))
    blocks = {
        key: TrainBlock(convert(block.gradients), convert(block.squared_norms), block.parameters)
        for key, block in blocks.items()
    }
    points = {key: convert(value) for key, value in points.items()}
    kept = joined_second_moment(blocks)
    method = METHODS[name]
    expected = np.asarray(method.apply(method.prepare(blocks, 1.0), points).influence)
    found = np.asarray(method.apply(method.prepare(blocks, 1.0, kept), points).influence)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_second_moments_of_shards_add_up():
    train, _ = random_problem(6, 50, (6, 4))
    halves = [as_blocks({key: rows[part] for key, rows in train.items()}) for part in (slice(0, 20), slice(20, 50))]
    added = sum(joined_second_moment(half) for half in halves)
    np.testing.assert_allclose(added, joined_second_moment(as_blocks(train)), rtol=1e-12)


def test_damping_of_codes_is_that_of_the_full_gradients():
    train, test = random_problem(7, 20, (15, 9))
    blocks, _ = encode(train, test, (3, 2))
    assert block_dampings(blocks, 0.1) == pytest.approx(block_dampings(as_blocks(train), 0.1))
