"""Scores from codes against the definition in float64, at any damping, method, layout and precision."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from influence.compact.codes import decode_codes, decode_norms
from influence.compact.encoder import Encoder, fit_encoder
from influence.compact.fidelity import rank_correlations
from influence.compact.layout import Layout
from influence.compact.moments import damping_of_rows
from influence.compact.query import (
    Inverse,
    invert_datainf,
    invert_exactly,
    invert_jointly,
    invert_nothing,
    query_vectors,
    self_scores,
)
from influence.compact.rerank import block_scores, choose_candidates, exact_scores, full_directions, sum_blocks
from influence.compact.scan import scan_codes
from influence.errors import InvalidRequest, MethodNotOffered

Scores = NDArray[np.float64]


def lossless(problem) -> Encoder:  # type: ignore[no-untyped-def]
    """An encoder that keeps everything: all rows are its sample, all directions are stored."""
    return fit_encoder(problem.train, rank=300, directions=300)


def score_in_code_space(encoder: Encoder, inverse: Inverse, problem) -> Scores:  # type: ignore[no-untyped-def]
    return inverse.apply(encoder.project(problem.test).codes) @ encoder.project(problem.train).codes.T


def test_with_a_full_basis_codes_give_datainf_itself(problem, true_scores) -> None:  # type: ignore[no-untyped-def]
    encoder = lossless(problem)
    moments = encoder.sum_moments(encoder.project(problem.train))
    damping = damping_of_rows(moments, encoder.parameters, 0.1)
    np.testing.assert_allclose(damping, problem.damping, rtol=1e-6)
    expected = true_scores(problem, damping)
    scores = score_in_code_space(encoder, invert_datainf(encoder, moments, damping), problem)
    np.testing.assert_allclose(scores, expected, atol=2e-3 * np.abs(expected).max())


def test_other_damping_needs_no_second_build(problem, true_scores) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:150] for block in problem.train], rank=16, directions=48)
    rows = encoder.project(problem.train)
    moments = encoder.sum_moments(rows)
    for scale in (0.001, 0.1, 10.0):
        damping = damping_of_rows(moments, encoder.parameters, scale)
        inverse = invert_datainf(encoder, moments, damping)
        vectors = query_vectors(encoder.layout, inverse, encoder.project(problem.test).codes)
        correlations = rank_correlations(true_scores(problem, damping), scan_codes(encoder.encode(rows), vectors))
        assert correlations.mean() > 0.99, scale


def test_scores_from_int8_codes_rank_like_the_definition(problem, true_scores) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:200] for block in problem.train], rank=12)
    rows = encoder.project(problem.train)
    codes = encoder.encode(rows)
    inverse = invert_datainf(encoder, encoder.sum_moments(rows), problem.damping)
    vectors = query_vectors(encoder.layout, inverse, encoder.project(problem.test).codes)
    correlations = rank_correlations(true_scores(problem, problem.damping), scan_codes(codes, vectors))
    assert codes.values.shape == (300, 48)
    assert correlations.min() > 0.99


def test_the_same_rows_have_the_same_bytes_on_torch(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4)
    train = [torch.from_numpy(block) for block in problem.train]
    ours = encoder.encode(encoder.project(problem.train))
    theirs = encoder.encode(encoder.like(train[0]).project(train))
    assert (np.abs(ours.values.astype(int) - theirs.values) <= 1).all()
    assert (ours.norms == theirs.norms).mean() > 0.99


def test_re_ranked_scores_are_within_one_percent(problem, true_scores) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:200].astype(np.float32) for block in problem.train], rank=8)
    moments = encoder.sum_moments(encoder.project([block.astype(np.float32) for block in problem.train]))
    inverse = invert_datainf(encoder, moments, problem.damping)
    expected = true_scores(problem, problem.damping)
    directions = full_directions(encoder.basis, inverse, problem.test)
    shares = block_scores(directions, problem.train)
    assert shares.shape == (4, 12, 300)
    scores = sum_blocks(shares)
    np.testing.assert_allclose(scores, exact_scores(directions, problem.train))
    top = np.argsort(-np.abs(expected), axis=1)[:, :10]
    found, wanted = np.take_along_axis(scores, top, 1), np.take_along_axis(expected, top, 1)
    np.testing.assert_allclose(found, wanted, rtol=0.01)


def test_solves_in_code_space_equal_dense_solves(make_problem: Callable) -> None:  # type: ignore[type-arg]
    problem = make_problem(7, rows=120)
    encoder = fit_encoder(problem.train, rank=120, directions=120)
    moments = encoder.sum_moments(encoder.project(problem.train), joint=True)
    per_block, whole, scaled = np.zeros((12, 120)), [], []
    for train, test, damping in zip(problem.train, problem.test, problem.damping, strict=True):
        if damping == 0:
            continue
        per_block += test @ np.linalg.solve(train.T @ train / 120 + damping * np.eye(train.shape[1]), train.T)
        whole.append(train / damping**0.5)
        scaled.append(test / damping**0.5)
    joined, tests = np.concatenate(whole, 1), np.concatenate(scaled, 1)
    joint = tests @ np.linalg.solve(joined.T @ joined / 120 + np.eye(joined.shape[1]), joined.T)
    for inverse, expected in (
        (invert_exactly(encoder, moments, problem.damping), per_block),
        (invert_jointly(encoder, moments, problem.damping), joint),
    ):
        exact = exact_scores(full_directions(encoder.basis, inverse, problem.test), problem.train)
        np.testing.assert_allclose(exact, expected, atol=1e-3 * np.abs(expected).max())
        scores = score_in_code_space(encoder, inverse, problem)
        np.testing.assert_allclose(scores, expected, atol=0.02 * np.abs(expected).max())


def test_no_curvature_gives_plain_gradient_products(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=8)
    directions = full_directions(encoder.basis, invert_nothing(encoder), problem.test)
    expected = sum(test @ train.T for test, train in zip(problem.test, problem.train, strict=True))
    np.testing.assert_allclose(exact_scores(directions, problem.train), expected, rtol=1e-4, atol=1e-9)


def test_a_joint_solve_without_its_moment_is_refused_with_a_hint(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4)
    moments = encoder.sum_moments(encoder.project(problem.train))
    with pytest.raises(MethodNotOffered, match="no moments over all blocks") as refused:
        invert_jointly(encoder, moments, problem.damping)
    assert "datainf" in refused.value.hint


def test_self_scores_match_the_definition(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=32)
    rows = encoder.project(problem.train)
    codes = encoder.encode(rows)
    inverse = invert_datainf(encoder, encoder.sum_moments(rows), problem.damping)
    decoded = encoder.layout.decode(decode_codes(codes))
    found = self_scores(inverse, decoded, decode_norms(codes.norms), encoder.basis.spans)
    expected = np.zeros(300)
    for train, damping in zip(problem.train, problem.damping, strict=True):
        if damping == 0:
            continue
        gram, norms = train @ train.T, (train**2).sum(1)
        expected += (norms - (gram**2 / (damping + norms)).sum(1) / 300) / damping
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_fewer_stored_numbers_than_asked_where_the_sample_spans_fewer(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:5] for block in problem.train], rank=16)
    assert encoder.layout.width <= 5
    assert isinstance(encoder.layout, Layout)
    assert np.isfinite(encoder.layout.unmix).all()


def test_gradients_that_are_all_zero_score_zero() -> None:
    zeros = [np.zeros((6, 4)), np.zeros((6, 9))]
    encoder = fit_encoder(zeros, rank=2)
    rows = encoder.project(zeros)
    inverse = invert_datainf(encoder, encoder.sum_moments(rows), [0.0, 0.0])
    scores = scan_codes(encoder.encode(rows), query_vectors(encoder.layout, inverse, rows.codes))
    assert scores.shape == (6, 6)
    assert (scores == 0).all()


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one row"):
        fit_encoder([np.zeros((0, 4))], rank=2)


def test_candidates_hold_the_ends_of_every_query() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 200))
    rows = choose_candidates(scores, 7)
    ends = np.argsort(scores, axis=1)
    assert set(ends[:, :7].ravel()) | set(ends[:, -7:].ravel()) == set(rows.tolist())
    assert choose_candidates(scores, 100).tolist() == list(range(200))
