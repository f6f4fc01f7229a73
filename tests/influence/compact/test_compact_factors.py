"""What `cosine` and `relative` divide by, from codes and norms, against the definition in float64."""

import numpy as np
import pytest

from influence.compact import factors
from influence.compact.codes import Codes
from influence.compact.encoder import Encoder, fit_encoder
from influence.compact.factors import length_factors, self_influence_factors
from influence.compact.query import Inverse, invert_datainf


@pytest.fixture(scope="module")
def coded(problem) -> tuple[Encoder, Inverse, Codes]:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=32)
    rows = encoder.project(problem.train)
    return encoder, invert_datainf(encoder, encoder.sum_moments(rows), problem.damping), encoder.encode(rows)


def test_lengths_are_those_of_the_gradients(problem, coded) -> None:  # type: ignore[no-untyped-def]
    lengths = np.sqrt(sum((block**2).sum(1) for block in problem.train))
    np.testing.assert_allclose(length_factors(*coded), 1 / lengths, rtol=1e-3)


def test_self_influence_is_that_of_the_definition(problem, coded, true_scores) -> None:  # type: ignore[no-untyped-def]
    same = type(problem)(problem.train, problem.train)
    expected = 1 / np.sqrt(np.diag(true_scores(same, problem.damping)))
    np.testing.assert_allclose(self_influence_factors(*coded), expected, rtol=0.03)


@pytest.mark.parametrize("make", [length_factors, self_influence_factors])
def test_chunks_change_no_factor(coded, make, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    whole = make(*coded)
    monkeypatch.setattr(factors, "_CHUNK_BYTES", 1 << 14)
    np.testing.assert_allclose(make(*coded), whole, rtol=1e-6)


@pytest.mark.parametrize("make", [length_factors, self_influence_factors])
def test_a_row_without_gradient_has_factor_zero(make) -> None:  # type: ignore[no-untyped-def]
    train = [np.random.default_rng(0).normal(size=(20, 8))]
    train[0][4] = 0.0
    encoder = fit_encoder(train, rank=8)
    rows = encoder.project(train)
    inverse = invert_datainf(encoder, encoder.sum_moments(rows), encoder.damping)
    found = make(encoder, inverse, encoder.encode(rows))
    assert found[4] == 0
    assert (np.delete(found, 4) > 0).all()
