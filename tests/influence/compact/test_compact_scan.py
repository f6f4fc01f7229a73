"""One pass over the codes: the same scores whatever the kernel, the threads and the number of test points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from influence.compact import scan
from influence.compact.codes import Codes, decode_codes, encode_codes
from influence.compact.scan import round_query, scan_codes
from influence.contracts.index import CodeDtype


def draw_codes(seed: int, rows: int, width: int, dtype: CodeDtype = "int8") -> Codes:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return encode_codes(values * 0.9 ** np.arange(width, dtype=np.float32), np.ones((rows, 2), np.float32), dtype)


def reference(codes: Codes, vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float64) @ decode_codes(codes).astype(np.float64).T


@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("points", [1, 2, 5, 33])
def test_scores_equal_a_float64_product(points: int, dtype: CodeDtype) -> None:
    codes = draw_codes(0, 700, 50, dtype)
    vectors = np.random.default_rng(1).normal(size=(points, 50)).astype(np.float32)
    expected = reference(codes, vectors)
    found = scan_codes(codes, vectors)
    assert found.dtype == np.float32
    # Of int8 codes the query is rounded as well.
    tolerance = 0.02 if dtype == "int8" else 1e-6
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 70), st.integers(1, 4), st.integers(1, 3))
def test_threads_and_pieces_change_nothing(rows: int, width: int, points: int, threads: int) -> None:
    codes = draw_codes(rows, rows, width)
    vectors = np.random.default_rng(2).normal(size=(points, width)).astype(np.float32)
    whole = scan_codes(codes, vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_PIECE_ROWS", 1 + rows // 3)
        pieced = scan_codes(codes, vectors, threads=threads)
    halves = [codes.take(slice(0, rows // 2)), codes.take(slice(rows // 2, rows))]
    joined = np.concatenate([scan_codes(half, vectors) for half in halves], 1)
    # Without the kernel, numpy's product of floats may add up in another order for another number of rows.
    tolerance = 0 if scan.numkong is not None else 1e-5 * np.abs(whole).max()
    for found in (pieced, joined):
        np.testing.assert_allclose(found, whole, rtol=0, atol=tolerance)


def test_without_the_kernel_numpy_gives_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = draw_codes(3, 5000, 40)
    vectors = np.random.default_rng(4).normal(size=(3, 40)).astype(np.float32)
    expected = reference(codes, vectors)
    monkeypatch.setattr(scan, "numkong", None)
    np.testing.assert_allclose(scan_codes(codes, vectors), expected, atol=1e-6 * np.abs(expected).max())


def test_a_rounded_query_is_within_half_a_step_of_itself() -> None:
    vectors = np.random.default_rng(5).normal(size=(4, 30)).astype(np.float32)
    vectors[2] = 0
    whole, scales = round_query(vectors)
    assert (np.abs(whole * scales[:, None] - vectors) <= np.abs(vectors).max(1, keepdims=True) / 253).all()


def test_no_rows_give_no_scores() -> None:
    codes = draw_codes(6, 3, 4).take(slice(0, 0))
    assert scan_codes(codes, np.ones((2, 4), np.float32)).shape == (2, 0)
