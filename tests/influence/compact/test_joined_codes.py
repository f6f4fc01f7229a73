"""Several checkpoints in one code: scores are the weighted sum of what each would give alone."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import Encoder, fit_encoder
from influence.compact.packing import pack_encoder, unpack_encoder
from influence.compact.scan import scan_codes
from influence.errors import InvalidRequest
from influence.evaluating.agreement import rank_correlations
from influence.methods.codes.fidelity import measure_fidelity
from influence.methods.registry import METHODS

Floats = NDArray[np.float64]
WEIGHTS = (0.03, 2.0, 0.5)
BLOCKS = 2
T = 0.1


def make_gradients(rows: int, seed: int) -> list[Floats]:
    """Three checkpoints of two blocks each; the checkpoints are of very different sizes."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.normal(size=(rows, 1)))
    return [sizes * rng.normal(size=(rows, 40)) * scale for scale in (1.0, 0.3, 8.0, 2.0, 0.1, 0.2)]


def filter_alone(rows: list[Floats], tests: list[Floats], batch_rows: int) -> Floats:
    """Influence (m, n) of one checkpoint, dense in float64."""
    all_rows, all_tests = np.concatenate(rows, 1), np.concatenate(tests, 1)
    moment = np.mean(all_rows**2, 0) / batch_rows + (1 - 1 / batch_rows) * np.mean(all_rows, 0) ** 2
    roots = (np.sqrt(moment) + 0.1 * np.median(np.sqrt(moment))) ** -0.5
    all_rows, all_tests = all_rows * roots, all_tests * roots
    system = np.eye(len(all_rows)) + T * all_rows @ all_rows.T / len(all_rows)
    return -np.linalg.solve(system, all_rows @ all_tests.T).T


def sum_alone(rows: list[Floats], tests: list[Floats], batch_rows: int) -> Floats:
    parts = [slice(start, start + BLOCKS) for start in range(0, len(rows), BLOCKS)]
    found = [
        weight * filter_alone(rows[own], tests[own], batch_rows) for own, weight in zip(parts, WEIGHTS, strict=True)
    ]
    return np.asarray(sum(found))


def fit(rows: list[Floats], rank: int, weights: tuple[float, ...] = WEIGHTS) -> Encoder:
    return fit_encoder(rows, rank=rank, directions=40, metric="optimizer", batch_rows=4, weights=weights)


@pytest.fixture
def rows() -> list[Floats]:
    return make_gradients(90, 0)


@pytest.fixture
def tests() -> list[Floats]:
    return make_gradients(5, 1)


def test_one_code_gives_the_sum_of_whole_products(rows: list[Floats], tests: list[Floats]) -> None:
    encoder = fit(rows, rank=45)
    coded = CodedRows.encode(encoder, encoder.project(rows), "float16")
    form = METHODS["preconditioned"].on_codes
    assert form is not None
    state = form.prepare(coded, 1 / T)
    truth = sum_alone(rows, tests, 4)
    found = state.finish(scan_codes(coded.codes, state.vectors(encoder.project(tests))))
    np.testing.assert_allclose(found, truth, rtol=0, atol=3e-3 * np.abs(truth).max())
    exact = state.share_blocks(state.directions(tests), rows)
    np.testing.assert_allclose(exact.sum(0), truth, rtol=0, atol=3e-3 * np.abs(truth).max())
    second = WEIGHTS[1] * filter_alone(rows[2:4], tests[2:4], 4)
    np.testing.assert_allclose(exact[2:4].sum(0), second, rtol=0, atol=3e-3 * np.abs(second).max())


def test_the_checkpoints_share_the_numbers_of_one(rows: list[Floats], tests: list[Floats]) -> None:
    encoder = fit(rows, rank=20)
    assert encoder.layout.width == 20 * BLOCKS
    coded = CodedRows.encode(encoder, encoder.project(rows))
    form = METHODS["preconditioned"].on_codes
    assert form is not None
    state = form.prepare(coded, 1 / T)
    found = state.finish(scan_codes(coded.codes, state.vectors(encoder.project(tests))))
    assert rank_correlations(found, sum_alone(rows, tests, 4)).mean() > 0.8


def test_what_is_stored_holds_the_weights(rows: list[Floats]) -> None:
    encoder = fit([block.astype(np.float32) for block in rows], rank=20)
    assert unpack_encoder(pack_encoder(encoder)).weights == WEIGHTS
    assert [own for own, _ in encoder.checkpoints] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    alone = replace(encoder, weights=(1.0,))
    assert "weights" not in pack_encoder(alone)
    assert unpack_encoder(pack_encoder(alone)).weights == (1.0,)


def test_fidelity_is_measured_against_the_sum_over_checkpoints(rows: list[Floats]) -> None:
    encoder = fit(rows, rank=45)
    measured = measure_fidelity(encoder, rows, np.arange(70, 90), dtype="float16")
    assert set(measured.methods) == {"preconditioned"}
    assert measured.spearman_mean > 0.99
    assert measured.reranked["preconditioned"].median < 0.01


def test_plain_gradients_of_several_checkpoints_share_no_code(rows: list[Floats]) -> None:
    with pytest.raises(InvalidRequest, match="optimiser's metric alone"):
        fit_encoder(rows, rank=4, weights=WEIGHTS)
