"""The stored bytes: rounding, norms, accounting, and the way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from influence.compact.codes import (
    bytes_per_row,
    decode_codes,
    decode_norms,
    encode_codes,
    encode_norms,
    join_codes,
)
from influence.contracts.index import CodeDtype

finite = st.floats(-(2.0**60), 2.0**60, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=finite))
def test_int8_is_within_half_a_step_of_each_rows_largest_number(values: np.ndarray) -> None:
    codes = encode_codes(values, np.ones((len(values), 1), np.float32))
    limit = np.abs(values).max(1, keepdims=True).astype(np.float64) / 127 * 0.5001 + 1e-30
    assert (np.abs(decode_codes(codes).astype(np.float64) - values) <= limit).all()


def test_ties_round_to_even_and_extremes_stay_symmetric() -> None:
    values = np.asarray([[127.0, 0.5, 1.5, -0.5, -127.0]], np.float32)
    assert encode_codes(values, np.ones((1, 1), np.float32)).values.tolist() == [[127, 0, 2, 0, -127]]


def test_float16_survives_numbers_beyond_its_own_range() -> None:
    values = np.asarray([[1e12, -3e11], [1e-12, 0.0], [0.0, 0.0]], np.float32)
    codes = encode_codes(values, np.ones((3, 1), np.float32), "float16")
    np.testing.assert_allclose(decode_codes(codes), values, rtol=1e-3)


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(0, 2.0**58, width=32, allow_subnormal=False)))
def test_norms_are_within_a_ninth_of_a_percent_and_zero_stays_zero(squared: np.ndarray) -> None:
    back = decode_norms(encode_norms(squared))
    np.testing.assert_allclose(back, squared, rtol=1.2e-3, atol=0)
    assert ((back == 0) == (squared == 0)).all()


@pytest.mark.parametrize("dtype", ["int8", "float16"])
def test_accounting_is_what_is_stored(dtype: CodeDtype) -> None:
    codes = encode_codes(np.ones((10, 100), np.float32), np.ones((10, 25), np.float32), dtype)
    assert codes.nbytes == 10 * bytes_per_row(100, 25, dtype)


def test_parts_join_in_order_and_rows_can_be_taken() -> None:
    values = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    norms = np.square(values[:, :2])
    whole = encode_codes(values, norms)
    joined = join_codes([whole.take(slice(0, 3)), whole.take(np.asarray([3, 4, 5, 6]))])
    assert len(joined) == 7
    assert (joined.values == whole.values).all()
    assert (joined.scales == whole.scales).all()
    assert (joined.norms == whole.norms).all()
