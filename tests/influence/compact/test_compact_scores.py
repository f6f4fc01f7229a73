"""What codes keep of rows, whatever method asks: layout, quantising, candidates, awkward samples."""

from typing import Any

import numpy as np
import pytest
from support.coded import Problem, code_rows

from influence.compact.encoder import fit_encoder
from influence.compact.inverse import Inverse, query_vectors
from influence.compact.layout import Layout
from influence.compact.rerank import choose_candidates, full_directions
from influence.compact.scan import scan_codes
from influence.errors import InvalidRequest


def test_the_same_rows_have_the_same_bytes_on_torch(problem: Problem, torch: Any) -> None:
    encoder = fit_encoder(problem.train, rank=4)
    train = [torch.from_numpy(block) for block in problem.train]
    ours = encoder.encode(encoder.project(problem.train))
    theirs = encoder.encode(encoder.like(train[0]).project(train))
    assert (np.abs(ours.values.astype(int) - theirs.values) <= 1).all()
    assert (ours.norms == theirs.norms).mean() > 0.99


def test_a_direction_is_turned_inside_the_basis_and_scaled_outside(problem: Problem) -> None:
    basis = fit_encoder(problem.train, rank=4).basis
    inside = tuple(np.diag(np.arange(1.0, rank + 1)) for rank in basis.ranks)
    inverse = Inverse(inside, basis.spans, np.full(len(basis.ranks), 7.0))
    found = full_directions(basis, inverse, problem.test)
    for direction, gradient, block, matrix in zip(found, problem.test, basis.blocks, inside, strict=True):
        whole = 7.0 * np.eye(gradient.shape[1]) + block.vectors @ (matrix - 7.0 * np.eye(len(matrix))) @ block.vectors.T
        np.testing.assert_allclose(direction, gradient @ whole, atol=1e-5 * max(1e-300, np.abs(gradient).max()))


def test_fewer_stored_numbers_than_asked_where_the_sample_spans_fewer(problem: Problem) -> None:
    encoder = fit_encoder([block[:5] for block in problem.train], rank=16)
    assert encoder.layout.width <= 5
    assert isinstance(encoder.layout, Layout)
    assert np.isfinite(encoder.layout.unmix).all()


def test_gradients_that_are_all_zero_score_zero() -> None:
    zeros = [np.zeros((6, 4)), np.zeros((6, 9))]
    rows = code_rows(zeros, rank=2)
    inverse = Inverse((np.zeros((0, 0)),) * 2, rows.encoder.basis.spans, np.zeros(2))
    vectors = query_vectors(rows.encoder.layout, inverse, rows.encoder.project(zeros).codes)
    scores = scan_codes(rows.codes, vectors)
    assert scores.shape == (6, 6)
    assert (scores == 0).all()


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one row"):
        fit_encoder([np.zeros((0, 4))], rank=2)


def test_the_moment_over_all_blocks_comes_from_the_stored_numbers(problem: Problem) -> None:
    rows = code_rows(problem.train, rank=300, directions=300)
    codes = rows.encoder.project(problem.train).codes.astype(np.float64)
    expected = codes.T @ codes / len(codes)
    np.testing.assert_allclose(rows.mean_joint, expected, atol=0.02 * np.abs(expected).max())


def test_rows_decoded_in_chunks_are_the_rows(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = code_rows(problem.train, rank=8)
    whole = rows.take(slice(0, len(rows)))
    monkeypatch.setattr("influence.compact.coded_rows._CHUNK_BYTES", 8 * 7 * rows.encoder.basis.width)
    parts = list(rows.chunks())
    assert [part.stop - part.start for part, _ in parts] == [4] * 75  # the power of two below seven
    decoded = np.concatenate([stored.codes for _, stored in parts])
    np.testing.assert_allclose(decoded, whole.codes, atol=1e-6 * np.abs(whole.codes).max())
    np.testing.assert_array_equal(np.concatenate([stored.squared_norms for _, stored in parts]), whole.squared_norms)


def test_candidates_hold_the_ends_of_every_query() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 200))
    rows = choose_candidates(scores, 7)
    ends = np.argsort(scores, axis=1)
    assert set(ends[:, :7].ravel()) | set(ends[:, -7:].ravel()) == set(rows.tolist())
    assert choose_candidates(scores, 100).tolist() == list(range(200))
