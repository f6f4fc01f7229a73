"""One pass over all codes: scores of every row for one or many test points.

With int8 codes the query vector is made int8 as well, so that the pass reads one byte per number and multiplies
bytes. The kernel is numkong's (SIMD, int8 with 32-bit sums) where it is installed, else numpy in blocks that fit the
processor's cache. A caller that knows a faster one for its machine passes it: sums of bytes are whole numbers, so no
kernel changes a score.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.arrays import spans
from influence.compact.arrays import Float32s
from influence.compact.codes import Codes

# No wheel of it for some processors: numpy below gives the same scores, 3 to 4 times slower.
numkong: Any = import_module("numkong") if find_spec("numkong") else None

#: Exact products (m, rows) of codes (rows, P) with query vectors (m, P), both int8: whole numbers of a type that holds
#: them (int32, float64). Called from many threads.
Products = NDArray[np.int32] | NDArray[np.float64]
Multiply = Callable[[NDArray[np.int8], NDArray[np.int8]], Products]

_TOP = 127
_BLOCK_ROWS = 4096
#: Rows a thread takes at a time: a megabyte or two of codes, and products that stay in its cache until they are scores.
_PIECE_ROWS = 1 << 14
#: One vector against rows wider than this: a dot product a row beats a packed matrix product (measured at 100 to 800).
_DOTS_FROM_WIDTH = 320


def scan_codes(codes: Codes, vectors: Float32s, *, threads: int = 1, multiply: Multiply | None = None) -> Float32s:
    """Scores (m, n) float32 of all rows for query vectors (m, P); positive is helpful.

    `multiply` is the kernel for int8 codes, by default `multiply_bytes` where numkong is installed.
    """
    scores = np.empty((len(vectors), len(codes)), np.float32)
    kernel = multiply or (multiply_bytes if numkong is not None else None)
    if codes.values.dtype == np.int8 and kernel is not None:
        score_piece = _bytes_scorer(codes, vectors, kernel, scores)
    else:
        score_piece = _floats_scorer(codes, np.asarray(vectors, np.float32), scores)
    pieces = [slice(*span) for span in spans(len(codes), _PIECE_ROWS)]
    if threads == 1:
        for piece in pieces:
            score_piece(piece)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(score_piece, pieces))
    return scores


def multiply_bytes(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
    """The kernel where nothing is known of the machine: numkong's."""
    by_rows = len(vectors) == 1 and values.shape[1] > _DOTS_FROM_WIDTH
    return multiply_by_rows(values, vectors) if by_rows else multiply_packed(values, vectors)


def multiply_by_rows(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
    """A dot product of each row and vector, by numkong."""
    return np.asarray(numkong.cdist(vectors, values, "dot"))


def multiply_packed(values: NDArray[np.int8], vectors: NDArray[np.int8]) -> Products:
    """A product of matrices, the vectors' packed for it, by numkong."""
    return np.asarray(numkong.dots_packed(values, numkong.dots_pack(vectors))).T


def round_query(vectors: Float32s) -> tuple[NDArray[np.int8], Float32s]:
    """Query vectors (m, P) as int8 and their scales (m,): each entry to 1/254 of its vector's largest."""
    scales = np.abs(vectors).max(1, initial=0.0) / _TOP
    units = np.rint(np.asarray(vectors, np.float64) / np.where(scales == 0, 1.0, scales)[:, None])
    return units.astype(np.int8), np.asarray(scales, np.float32)


def _bytes_scorer(codes: Codes, vectors: Float32s, multiply: Multiply, scores: Float32s) -> Callable[[slice], None]:
    whole, scales = round_query(vectors)

    def score(rows: slice) -> None:
        out = scores[:, rows]
        # In place and in float32: at narrow widths a temporary costs as much as the product. A product of two types at
        # once costs twice as much as a copy and a product of one.
        np.copyto(out, multiply(codes.values[rows], whole), casting="unsafe")
        np.multiply(out, codes.scales[rows], out=out)
        np.multiply(out, scales[:, None], out=out)

    return score


def _floats_scorer(codes: Codes, vectors: Float32s, scores: Float32s) -> Callable[[slice], None]:
    def score(rows: slice) -> None:
        for start, stop in spans(rows.stop - rows.start, _BLOCK_ROWS):
            block = slice(rows.start + start, rows.start + stop)
            np.matmul(vectors, codes.values[block].astype(np.float32).T, out=scores[:, block])
        np.multiply(scores[:, rows], codes.scales[rows], out=scores[:, rows])

    return score
