"""One pass over all codes: scores of every row for one or many test points.

With int8 codes the query vector is made int8 as well, so that the pass reads one byte a number and multiplies
bytes; `fine` adds a second byte of the query where its rounding should not count. The kernel is numkong's (SIMD, int8
with 32-bit sums) where it is installed, else numpy in blocks that fit the processor's cache.
"""

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

_TOP = 127
_BLOCK_ROWS = 4096
#: Rows a thread takes at a time: a few megabytes of codes.
_PIECE_ROWS = 1 << 15
#: From this many query vectors on, packing them for a matrix product beats one dot product after another.
_PACKED_FROM = 2


def scan_codes(codes: Codes, vectors: Float32s, *, threads: int = 1, fine: bool = False) -> Float32s:
    """Scores (m, n) float32 of all rows for query vectors (m, P); positive is helpful."""
    scores = np.empty((len(vectors), len(codes)), np.float32)
    if codes.values.dtype == np.int8 and numkong is not None:
        whole, scales = split_query(vectors, parts=2 if fine else 1)
    else:
        whole, scales = np.asarray(vectors, np.float32), None

    def scan_piece(rows: slice) -> None:
        products = _multiply(codes.values[rows], whole, scales)
        np.multiply(products, codes.scales[rows], out=scores[:, rows])

    pieces = [slice(*span) for span in spans(len(codes), _PIECE_ROWS)]
    if threads == 1:
        for piece in pieces:
            scan_piece(piece)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(scan_piece, pieces))
    return scores


def split_query(vectors: Float32s, parts: int = 1) -> tuple[NDArray[np.int8], Float32s]:
    """Query vectors as int8: (parts, m, P) flattened to (parts * m, P), with scales (parts, m).

    Their sum over parts, each times its scale, is the vector to 1/254 of its largest entry (two parts: 1/64,516).
    """
    rest = np.asarray(vectors, np.float64)
    whole, scales = [], []
    for _ in range(parts):
        scale = np.abs(rest).max(1, initial=0.0) / _TOP
        units = np.rint(rest / np.where(scale == 0, 1.0, scale)[:, None])
        rest = rest - units * scale[:, None]
        whole.append(units)
        scales.append(scale)
    return np.concatenate(whole).astype(np.int8), np.asarray(scales, np.float32)


def _multiply(values: NDArray[Any], vectors: NDArray[Any], scales: Float32s | None) -> Float32s:
    """Products (m, rows) of one piece of codes with all query vectors."""
    if scales is None:
        return _multiply_floats(values, vectors)
    if len(vectors) < _PACKED_FROM:
        products = np.asarray(numkong.cdist(vectors, values, "dot"))
    else:
        products = np.asarray(numkong.dots_packed(values, numkong.dots_pack(vectors))).T
    parts = products.reshape(*scales.shape, len(values))
    return np.asarray((parts * scales[:, :, None]).sum(0), np.float32)


def _multiply_floats(values: NDArray[Any], vectors: NDArray[Any]) -> Float32s:
    products = np.empty((len(vectors), len(values)), np.float32)
    for start, stop in spans(len(values), _BLOCK_ROWS):
        np.matmul(vectors, values[start:stop].astype(np.float32).T, out=products[:, start:stop])
    return products
