"""Estimates before a build, and the arrays that are stored."""

import numpy as np
import pytest

from influence.compact.admission import Rates, check_fits, choose_storage, estimate_compact, estimate_full
from influence.compact.encoder import KEPT_VECTORS, fit_encoder
from influence.compact.packing import pack_encoder, pack_moments, unpack_encoder, unpack_moments
from influence.errors import DoesNotFit
from influence.methods.codes.fidelity import measure_fidelity

MINILM = [3072] * 24 + [768]
RATES = Rates(rows_per_second=20.0)


def test_a_million_rows_fit_in_less_than_a_gigabyte_as_codes_but_not_as_gradients() -> None:
    compact = estimate_compact(1_000_000, MINILM, 16, RATES)
    assert compact.row_bytes == 25 * 16 + 4 + 50
    assert compact.bytes_per_row == compact.redis_bytes / 1_000_000 > compact.row_bytes
    assert compact.redis_bytes < 700_000_000
    full = estimate_full(1_000_000, MINILM, "float32", RATES)
    assert full.redis_bytes > 290e9
    assert compact.shards == full.shards > 100


def test_automatic_storage_is_full_while_that_fits() -> None:
    for rows, storage in ((1000, "full"), (100_000, "compact")):
        full, compact = estimate_full(rows, MINILM, "float32", RATES), estimate_compact(rows, MINILM, 16, RATES)
        assert choose_storage(full, compact, budget_bytes=1 << 30).storage == storage


def test_automatic_storage_is_not_codes_where_those_take_more_with_their_basis() -> None:
    narrow = [64] * 25
    full, compact = estimate_full(80, narrow, "float32", RATES), estimate_compact(80, narrow, 32, RATES)
    assert compact.row_bytes < full.row_bytes / 10
    assert compact.redis_bytes > full.redis_bytes
    assert choose_storage(full, compact, budget_bytes=1 << 20).storage == "full"


def test_a_basis_of_wide_blocks_takes_no_more_than_half_of_all_gradients() -> None:
    full, compact = estimate_full(80, MINILM, "float32", RATES), estimate_compact(80, MINILM, 32, RATES)
    assert compact.redis_bytes < 0.75 * full.redis_bytes


@pytest.mark.parametrize(("redis", "worker", "named"), [(10**6, 10**12, "Redis"), (10**12, 10**6, "worker memory")])
def test_what_does_not_fit_is_refused_with_figures_and_a_way_out(redis: int, worker: int, named: str) -> None:
    estimate = estimate_compact(1_000_000, MINILM, 16, RATES)
    with pytest.raises(DoesNotFit, match=named) as refused:
        check_fits(estimate, redis_budget_bytes=redis, worker_budget_bytes=worker)
    assert "smaller rank" in refused.value.hint
    assert refused.value.extra["needed_bytes"] > refused.value.extra["budget_bytes"]
    check_fits(estimate, redis_budget_bytes=10**12, worker_budget_bytes=10**12)


def test_codes_that_workers_share_out_need_not_fit_one_of_them() -> None:
    large = estimate_compact(100_000_000, MINILM, 16, RATES)
    budgets = {"redis_budget_bytes": 10**15, "worker_budget_bytes": 4 << 30}
    check_fits(large, **budgets, part_bytes=256 << 20)
    with pytest.raises(DoesNotFit, match="worker memory"):
        check_fits(large, **budgets)
    with pytest.raises(DoesNotFit, match="worker memory"):
        check_fits(estimate_full(100_000_000, MINILM, "float32", RATES), **budgets, part_bytes=256 << 20)


def test_the_estimate_is_what_a_build_stores(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder(problem.train, rank=4, vectors=KEPT_VECTORS)
    rows = encoder.project(problem.train)
    arrays = {**pack_encoder(encoder), **pack_moments(encoder.sum_moments(rows))}
    stored = encoder.encode(rows).nbytes + sum(array.nbytes for array in arrays.values())
    parameters = [block.shape[1] for block in problem.train]
    estimate = estimate_compact(300, parameters, 4, RATES, sample_rows=300)
    assert stored * 0.9 <= estimate.redis_bytes <= stored * 1.5


def test_encoder_and_moments_survive_being_stored(problem) -> None:  # type: ignore[no-untyped-def]
    encoder = fit_encoder([block.astype(np.float32) for block in problem.train], rank=4)
    arrays = pack_encoder(encoder)
    assert all(array.ndim <= 2 and array.dtype.name in {"float32", "float64", "int64"} for array in arrays.values())
    again = unpack_encoder(arrays)
    assert (again.damping, again.parameters, again.basis.kept) == (
        encoder.damping,
        encoder.parameters,
        encoder.basis.kept,
    )
    train = [block.astype(np.float32) for block in problem.train]
    for stored, block in zip(again.basis.blocks, encoder.basis.blocks, strict=True):
        np.testing.assert_array_equal(stored.vectors, block.vectors)
    # Arrays that lie otherwise in memory may be multiplied in another order.
    codes = encoder.project(train).codes
    np.testing.assert_allclose(again.project(train).codes, codes, rtol=0, atol=1e-5 * np.abs(codes).max())
    np.testing.assert_array_equal(again.layout.mix, encoder.layout.mix)
    moments = encoder.sum_moments(encoder.project(train))
    back = unpack_moments(pack_moments(moments))
    assert back.rows == moments.rows
    for left, right in zip([*back.weighted, *back.plain], [*moments.weighted, *moments.plain], strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_rounded_basis_is_stored_in_half_the_bytes_and_read_back_as_it_was(problem) -> None:  # type: ignore[no-untyped-def]
    train = [block.astype(np.float32) for block in problem.train]
    whole, rounded = (pack_encoder(fit_encoder(train, rank=4, vectors=name)) for name in ("float32", "float16"))
    assert (whole["vectors"].dtype.name, rounded["vectors"].dtype.name) == ("float32", "float16")
    np.testing.assert_allclose(rounded["vectors"], whole["vectors"], rtol=2**-11, atol=2**-25)
    for arrays in (whole, rounded):  # a grown index keeps the basis of its source, in the bytes that it has there
        read = unpack_encoder(arrays)
        assert {block.vectors.dtype for block in read.basis.blocks} == {np.dtype(np.float32)}
        again = pack_encoder(read)["vectors"]
        assert again.dtype == arrays["vectors"].dtype
        np.testing.assert_array_equal(again, arrays["vectors"])


def test_codes_of_a_rounded_basis_rank_as_well(problem) -> None:  # type: ignore[no-untyped-def]
    train = [block[:250].astype(np.float32) for block in problem.train]
    everything, held_out = [block.astype(np.float32) for block in problem.train], np.arange(250, 300)
    whole, rounded = (
        measure_fidelity(fit_encoder(train, rank=8, vectors=name), everything, held_out)
        for name in ("float32", "float16")
    )
    assert rounded.spearman_mean == pytest.approx(whole.spearman_mean, abs=1e-3)
    assert rounded.methods == pytest.approx(whole.methods, abs=5e-3)
    assert rounded.residual == pytest.approx(whole.residual, abs=1e-3)
    assert rounded.reranked["datainf"].worst <= whole.reranked["datainf"].worst + 1e-3
