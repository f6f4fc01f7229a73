"""Growing and shrinking equals building anew with the same basis; sums do not care about shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.compact.codes import Codes
from influence.compact.encoder import fit_encoder
from influence.compact.growth import judge_drift, match_rows, regrow_codes, residual_share
from influence.compact.moments import Moments, mean_weighted, mean_weighted_at, sum_moments
from influence.errors import InvalidRequest

keys = st.lists(st.sampled_from("abcdef"), max_size=12)


def assert_same_codes(one: Codes, other: Codes) -> None:
    """Equal but for rounding, which a product of another size does in another way: it moves a number by one step."""
    assert one.values.shape == other.values.shape
    for values, others in ((one.values, other.values), (one.norms, other.norms)):
        steps = np.abs(values.astype(np.int64) - others.astype(np.int64))
        assert steps.max() <= 1
        assert (steps > 0).mean() < 1e-3
    np.testing.assert_allclose(one.scales, other.scales, rtol=1e-5)


def assert_same_moments(one: Moments, other: Moments) -> None:
    assert one.rows == other.rows
    for left, right in zip([*one.weighted, *one.plain], [*other.weighted, *other.plain], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12 * max(1.0, float(np.abs(right).max(initial=0))))
    np.testing.assert_allclose(one.energy, other.energy)


@given(keys, keys)
def test_rows_are_matched_one_to_one_by_content(old: list[str], new: list[str]) -> None:
    plan = match_rows(old, new)
    kept = plan.source[plan.source >= 0]
    assert len(set(kept.tolist())) == len(kept)
    assert all(old[place] == new[row] for row, place in enumerate(plan.source) if place >= 0)
    assert sorted([*kept, *plan.removed]) == list(range(len(old)))
    assert plan.added.tolist() == [row for row, place in enumerate(plan.source) if place < 0]
    assert all(min(old.count(key), new.count(key)) == sum(old[p] == key for p in kept) for key in "abcdef")


def test_grown_and_shrunk_equals_rebuilt_with_the_same_basis(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:100] for block in problem.train], rank=6)
    everything = encoder.project(problem.train)
    names = [f"row{number}" for number in range(300)]
    old, new = np.arange(0, 200), np.random.default_rng(0).permutation(np.arange(50, 300))
    plan = match_rows([names[row] for row in old], [names[row] for row in new])
    assert len(plan.added) == 100
    added = everything.take(new[plan.added])
    removed = everything.take(old[plan.removed])
    grown = regrow_codes(plan, encoder.encode(everything.take(old)), encoder.encode(added))
    rebuilt = encoder.encode(everything.take(new))
    assert_same_codes(grown, rebuilt)
    before = encoder.sum_moments(everything.take(old))
    moments = before + encoder.sum_moments(added) - encoder.sum_moments(removed)
    assert_same_moments(moments, encoder.sum_moments(everything.take(new)))


def test_moments_of_shards_add_up(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4)
    rows = encoder.project(problem.train)
    cuts = [np.arange(0, 7), np.arange(7, 130), np.arange(130, 300)]
    parts = [encoder.sum_moments(rows.take(cut)) for cut in cuts]
    assert_same_moments(parts[0] + parts[1] + parts[2], encoder.sum_moments(rows))


def test_moments_of_different_damping_are_not_added(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4)
    rows, spans = encoder.project(problem.train), encoder.basis.spans
    one = encoder.sum_moments(rows)
    with pytest.raises(InvalidRequest, match="different damping"):
        one + sum_moments(rows.codes, rows.squared_norms, spans, [2 * scale for scale in encoder.damping])


def test_moments_at_another_damping_are_exact_where_the_sample_is_everything(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4)
    rows, spans = encoder.project(problem.train), encoder.basis.spans
    damping = [30 * scale for scale in encoder.damping]
    found = mean_weighted_at(encoder.sum_moments(rows), damping, rows.codes, rows.squared_norms, spans)
    direct = mean_weighted(sum_moments(rows.codes, rows.squared_norms, spans, damping))
    for left, right in zip(found, direct, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-12)


def test_rows_of_another_kind_are_noticed_as_drift(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block[:200] for block in problem.train], rank=8)
    held_out = encoder.project([block[200:] for block in problem.train])
    baseline = residual_share(encoder, held_out)
    alike = judge_drift(baseline, baseline=baseline, basis_age=0.3)
    assert alike.warnings == ()
    rng = np.random.default_rng(0)
    foreign = [rng.normal(size=(20, block.shape[1])) * block.std() for block in problem.train]
    drift = judge_drift(residual_share(encoder, encoder.project(foreign)), baseline=baseline, basis_age=0.3)
    assert drift.residual > 3 * baseline
    assert "build the index anew" in drift.warnings[0]
