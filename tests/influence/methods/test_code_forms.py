"""Every method on codes, by the code that answers queries, against dense algebra and against itself on gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.answered import present
from support.coded import Problem, code_rows
from support.gradients.dense_algebra import ORACLES, as_blocks, random_problem

from influence.compact.coded_rows import CodedRows
from influence.compact.scan import scan_codes
from influence.contracts.index import Metric
from influence.evaluating.agreement import rank_correlations
from influence.methods.codes.form import CodeForm, CodeState
from influence.methods.registry import METHODS

ON_CODES = sorted(name for name, method in METHODS.items() if method.on_codes is not None)
WITH_SELF_INFLUENCE = [name for name in ON_CODES if METHODS[name].has_self_influence]
WITH_SIZES = ["cosine", "relative"]

Floats = NDArray[np.float64]


def form_of(name: str) -> CodeForm:
    form = METHODS[name].on_codes
    assert form is not None
    return form


def score(state: CodeState, test: Any) -> Floats:
    """Influence (m, n) from codes."""
    rows = state.rows
    scores = scan_codes(rows.codes, state.vectors(rows.encoder.project(test)))
    return state.finish(scores).astype(np.float64)


def score_with_gradients(state: CodeState, test: Any, train: Any) -> Floats:
    """Influence (m, n) from the rows' true gradients."""
    scores: Floats = state.share_blocks(state.directions(test), train).sum(0)
    return scores


def assert_close(found: Any, expected: Floats, tolerance: float) -> None:
    """Within `tolerance` of the largest value: scores are compared with each other, not with zero."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture(scope="module")
def small() -> tuple[dict[str, Floats], dict[str, Floats], dict[str, CodedRows]]:
    """Rows by block, test points, and codes by metric that keep everything: all rows and directions are there."""
    train, test = random_problem(1, 40, (9, 20, 4))
    metrics: tuple[Metric, ...] = ("gradient", "optimizer")
    rows = list(train.values())
    return train, test, {m: code_rows(rows, rank=40, directions=40, dtype="float16", metric=m) for m in metrics}


@pytest.mark.parametrize("name", ON_CODES)
def test_codes_that_keep_everything_give_the_method_itself(name: str, small: Any) -> None:
    train, test, rows = small
    state = form_of(name).prepare(rows[METHODS[name].metric], 0.3)
    expected = ORACLES[name](train, test, 0.3)
    assert_close(score(state, list(test.values())), expected, 0.03)
    assert_close(score_with_gradients(state, list(test.values()), list(train.values())), expected, 2e-3)


@pytest.mark.parametrize("name", ON_CODES)
def test_parts_by_block_are_those_of_whole_gradients(name: str, small: Any) -> None:
    train, test, rows = small
    method = METHODS[name]
    rows = rows[method.metric]
    parts = present(method.apply(method.prepare(as_blocks(train), 0.3), test, per_block=True).blocks)
    state = form_of(name).prepare(rows, 0.3)
    shares = state.share_blocks(state.directions(list(test.values())), list(train.values()))
    assert shares.shape == (3, 3, 40)
    for share, block in zip(shares, train, strict=True):
        assert_close(share, np.asarray(parts[block]), 5e-3)


@pytest.mark.parametrize("name", WITH_SELF_INFLUENCE)
def test_self_influence_counts_what_the_codes_leave_out(name: str) -> None:
    train, _ = random_problem(3, 40, (16, 9))
    method = METHODS[name]
    exact = method.self_influence(method.prepare(as_blocks(train), 5.0))
    rows = code_rows(list(train.values()), rank=10, directions=12, metric=method.metric)
    state = form_of(name).prepare(rows, 5.0)
    found = state.self_influence(slice(0, 40))
    assert np.corrcoef(found, exact)[0, 1] > 0.99
    np.testing.assert_allclose(found, exact, rtol=0.2)
    np.testing.assert_allclose(np.concatenate([state.self_influence(slice(0, 7)), found[7:]]), found, rtol=1e-6)


@pytest.mark.parametrize("name", WITH_SIZES)
def test_a_row_without_gradient_scores_zero_where_scores_are_divided_by_its_size(name: str) -> None:
    train = [np.random.default_rng(0).normal(size=(20, 8))]
    train[0][4] = 0.0
    state = form_of(name).prepare(code_rows(train, rank=8), 0.1)
    assert state.row_factors is not None
    assert state.row_factors[4] == 0
    assert (np.delete(state.row_factors, 4) > 0).all()
    assert (score_with_gradients(state, train, train)[:, 4] == 0).all()


@pytest.mark.parametrize("name", WITH_SIZES)
def test_chunks_change_no_size(name: str, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = code_rows(problem.train, rank=8)
    whole = present(form_of(name).prepare(rows, 0.1).row_factors)
    monkeypatch.setattr("influence.compact.coded_rows._CHUNK_BYTES", 1 << 14)
    np.testing.assert_allclose(present(form_of(name).prepare(rows, 0.1).row_factors), whole, rtol=1e-6)


def test_stored_sizes_are_those_of_the_definition(problem: Problem, true_scores: Any) -> None:
    rows = code_rows(problem.train, rank=32)
    lengths = np.sqrt(sum((block**2).sum(1) for block in problem.train))
    np.testing.assert_allclose(present(form_of("cosine").prepare(rows, 1.0).row_factors), 1 / lengths, rtol=1e-3)
    own = np.diag(true_scores(Problem(problem.train, problem.train), problem.damping))
    np.testing.assert_allclose(present(form_of("relative").prepare(rows, 0.1).row_factors), 1 / np.sqrt(own), rtol=0.03)
    found = form_of("datainf").prepare(rows, 0.1).self_influence(slice(0, 300))
    np.testing.assert_allclose(found, own, rtol=0.05)


@pytest.mark.parametrize("name", WITH_SIZES)
def test_a_row_scored_by_its_gradient_is_divided_by_its_true_size(name: str, problem: Problem) -> None:
    rows = code_rows(problem.train, rank=2, sample=150)
    train = {str(number): block for number, block in enumerate(problem.train)}
    test = {str(number): block for number, block in enumerate(problem.test)}
    method = METHODS[name]
    expected = method.apply(method.prepare(as_blocks(train)), test).influence
    state = form_of(name).prepare(rows, method.damping_scale(None))
    found = score_with_gradients(state, problem.test, problem.train)
    top = np.argsort(-np.abs(expected), axis=1)[:, :10]
    wanted, got = (np.take_along_axis(np.asarray(values), top, 1) for values in (expected, found))
    np.testing.assert_allclose(got, wanted, rtol=0.004)  # by the stored size of "relative" it is 0.006


def test_datainf_on_codes_uses_the_exact_norms(problem: Problem) -> None:
    rows = code_rows(problem.train, rank=2, directions=4)
    inverse = form_of("datainf").prepare(rows, 0.1).inverse
    codes = rows.encoder.project(problem.train).codes.astype(np.float64)
    first, gradients, damping = rows.encoder.basis.spans[0], problem.train[0], problem.damping[0]
    weighted = codes[:, first].T @ (codes[:, first] / (damping + (gradients**2).sum(1))[:, None]) / 300
    expected = (np.eye(4) - weighted) / damping
    np.testing.assert_allclose(inverse.inside[0], expected, atol=1e-5 * np.abs(expected).max())


def test_scores_from_int8_codes_rank_like_the_definition(problem: Problem, true_scores: Any) -> None:
    rows = code_rows(problem.train, rank=12, sample=200)
    assert rows.codes.values.shape == (300, 48)
    found = score(form_of("datainf").prepare(rows, 0.1), problem.test)
    assert rank_correlations(true_scores(problem, problem.damping), -found).min() > 0.99


def test_other_damping_needs_no_second_build(problem: Problem, true_scores: Any) -> None:
    rows = code_rows(problem.train, rank=16, directions=48, sample=150)
    np.testing.assert_allclose(rows.damping(0.1), problem.damping, rtol=1e-6)
    for scale in (0.001, 0.1, 10.0):
        found = score(form_of("datainf").prepare(rows, scale), problem.test)
        assert rank_correlations(true_scores(problem, rows.damping(scale)), -found).mean() > 0.99, scale


def test_solves_of_wide_blocks_equal_dense_solves(make_problem: Callable[..., Problem]) -> None:
    problem = make_problem(7, rows=120)
    train = {str(number): block for number, block in enumerate(problem.train)}
    test = {str(number): block for number, block in enumerate(problem.test)}
    rows = code_rows(problem.train, rank=120, directions=120, dtype="float16")
    for name in ("exact", "joint", "proximal"):
        expected = ORACLES[name](train, test, 0.1)
        state = form_of(name).prepare(rows, 0.1)
        assert_close(score_with_gradients(state, problem.test, problem.train), expected, 1e-3)
        assert_close(score(state, problem.test), expected, 0.02)


@pytest.mark.parametrize("name", ON_CODES)
def test_torch_gradients_score_like_numpys(name: str, problem: Problem, torch: Any) -> None:
    rows = code_rows(problem.train, rank=6, metric=METHODS[name].metric)
    train, test = ([torch.from_numpy(block) for block in blocks] for blocks in (problem.train, problem.test))
    moved = CodedRows(rows.encoder.like(train[0]), rows.moments, rows.codes)
    expected = score_with_gradients(form_of(name).prepare(rows, 0.3), problem.test, problem.train)
    assert_close(score_with_gradients(form_of(name).prepare(moved, 0.3), test, train), expected, 1e-5)
