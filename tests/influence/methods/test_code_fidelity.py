"""What an index says of its codes, measured when it is built."""

import json

import numpy as np
import pytest
from support.coded import Problem, code_rows
from support.gradients.dense_algebra import ORACLES

from influence.compact.encoder import fit_encoder
from influence.methods.codes import fidelity as measuring
from influence.methods.codes.fidelity import measure_fidelity
from influence.methods.registry import METHODS, code_methods
from influence.methods.solves.gauss_newton import GaussNewton

HELD_OUT = np.arange(150, 300)


def test_fidelity_is_high_where_the_rank_suffices_and_warns_where_not(problem: Problem) -> None:
    sample = [block[:150] for block in problem.train]
    fidelity = measure_fidelity(fit_encoder(sample, rank=12), problem.train, HELD_OUT, queries=40)
    assert set(fidelity.methods) == {method.name for method in code_methods("gradient")}
    assert all(0.9 < agreement <= 1 for agreement in fidelity.methods.values()), fidelity.methods
    assert fidelity.queries == 40
    assert fidelity.rows == 150
    assert fidelity.spearman_mean > 0.99
    assert fidelity.found > 0.98
    assert fidelity.warnings == ()
    assert 0 <= fidelity.residual < 0.2
    warned = measure_fidelity(fit_encoder(sample, rank=1, directions=1), problem.train, HELD_OUT)
    assert warned.spearman_mean < fidelity.spearman_mean
    assert any("raise 'rank'" in warning for warning in warned.warnings)


@pytest.mark.parametrize("name", ["exact", "proximal", "joint", "datainf"])
def test_errors_are_those_against_dense_algebra_on_whole_gradients(name: str, make_problem) -> None:  # type: ignore[no-untyped-def]
    problem: Problem = make_problem(2, rows=60)
    wide = [block[:, :40] for block in problem.train]  # the dense form inverts a matrix per row
    rows, method, held_out = code_rows(wide, rank=2, sample=40), METHODS[name], np.arange(40, 60)
    figure = measure_fidelity(rows.encoder, wide, held_out, k=5, queries=8).reranked[name]
    gradients = {str(number): block for number, block in enumerate(wide)}
    asked = {key: block[40:48] for key, block in gradients.items()}
    true = ORACLES[name](gradients, asked, method.damping_scale(None))
    assert method.on_codes is not None
    state = method.on_codes.prepare(rows, method.damping_scale(None))
    found = state.share_blocks(state.directions(list(asked.values())), wide).sum(0)
    errors = []
    for place, (influence, seen) in enumerate(zip(true, found, strict=True)):
        others = np.delete(np.arange(60), 40 + place)
        first = others[np.argsort(seen[others])]
        shown = np.concatenate([first[:5], first[-5:]])
        errors.append(np.abs(seen[shown] / influence[shown] - 1))
    assert figure.median == pytest.approx(np.median(errors), rel=1e-4)
    assert figure.worst == pytest.approx(np.max(errors), rel=1e-4)
    assert figure.damping_scale == method.default_damping_scale


def test_methods_without_curvature_are_exact_at_any_rank_and_solves_are_not(problem: Problem) -> None:
    sample = [block[:150] for block in problem.train]
    reranked = measure_fidelity(fit_encoder(sample, rank=1, directions=1), problem.train, HELD_OUT).reranked
    for name, figure in reranked.items():
        form = METHODS[name].on_codes
        assert form is not None
        if not form.has_curvature:
            assert figure.worst < 1e-4, name
    assert min(reranked[name].worst for name in ("exact", "proximal", "joint")) > 0.01


@pytest.mark.parametrize("limit", [{"MEASURED_ROWS": 80}, {"SYSTEM_BYTES": 4 * 2 * 8 * 80**2}])
def test_of_more_rows_than_are_measured_with_some_are_taken_and_no_solve_is_iterated(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]
) -> None:
    encoder, held_out = fit_encoder([block[:250] for block in problem.train], rank=8), np.arange(250, 300)
    whole = measure_fidelity(encoder, problem.train, held_out)
    for name, value in limit.items():
        monkeypatch.setattr(measuring, name, value)
    orders, choose = [], GaussNewton._choose

    def look(*arguments: object) -> object:
        orders.append(choose(*arguments))  # type: ignore[arg-type]
        return orders[-1]

    monkeypatch.setattr(GaussNewton, "_choose", look)
    fewer = measure_fidelity(encoder, problem.train, held_out)
    assert {form for form, _ in orders} <= {"rows", "coordinates"}
    assert max(order for _, order in orders) <= 80
    assert fewer.rows == whole.rows == 50
    assert set(fewer.reranked) == set(whole.reranked)
    for name in ("datainf", "relative"):
        assert fewer.reranked[name].worst < 0.01, name


def test_figures_of_rows_without_gradients_are_numbers() -> None:
    train = [np.random.default_rng(0).normal(size=(30, 6)) for _ in range(2)]
    train[0][:, :] = 0.0
    train[1][::3] = 0.0
    fidelity = measure_fidelity(fit_encoder([block[:20] for block in train], rank=1), train, np.arange(20, 30))
    assert "NaN" not in (text := json.dumps(fidelity.to_json()))
    assert "Infinity" not in text
