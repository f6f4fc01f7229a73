"""The bytes kept of a row: int8 (or float16) numbers with one scale per row, and its exact squared norm per block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.arrays import Float32s
from influence.contracts.index import CodeDtype

_INT8_TOP = 127
_SCALE_BYTES = 4
_NORM_BYTES = 2
#: Squared norms are kept as 16-bit logarithms from 2**-140 to 2**60: half a step is 0.11 %. Code 0 means zero.
_LOG2_LOWEST = -140.0
_LOG2_STEP = 200.0 / 65_534


@dataclass(frozen=True, slots=True)
class Codes:
    """Stored rows: `values` (n, P) int8 or float16, `scales` (n,) float32, `norms` (n, blocks) uint16.

    A row's numbers are `values * scale`; `norms` are squared gradient norms as logarithms, see `decode_norms`.
    """

    values: NDArray[Any]
    scales: Float32s
    norms: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.scales)

    def take(self, rows: NDArray[np.int64] | slice) -> "Codes":
        """Chosen rows; a view where `rows` is a slice."""
        return Codes(self.values[rows], self.scales[rows], self.norms[rows])

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + self.norms.nbytes


def encode_codes(values: Float32s, squared_norms: Float32s, dtype: CodeDtype = "int8") -> Codes:
    """Quantise stored numbers (n, P) to the nearest step, ties to even; norms (n, blocks) are squared."""
    largest = np.abs(values).max(1, initial=0.0)
    scales = np.asarray(largest / (_INT8_TOP if dtype == "int8" else 1.0), np.float32)
    units = values / np.where(scales == 0, np.float32(1), scales)[:, None]
    if dtype == "int8":
        units = np.clip(np.rint(units), -_INT8_TOP, _INT8_TOP)
    return Codes(units.astype(dtype), scales, encode_norms(squared_norms))


def decode_codes(codes: Codes) -> Float32s:
    """The stored numbers (n, P) as float32."""
    return np.asarray(codes.values.astype(np.float32) * codes.scales[:, None], np.float32)


def encode_norms(squared: Float32s) -> NDArray[np.uint16]:
    """Squared norms as 16-bit logarithms; exact zeros stay zero, all else is within 0.11 %."""
    positive = np.asarray(squared, np.float64)
    steps = (np.log2(np.where(positive > 0, positive, 1.0)) - _LOG2_LOWEST) / _LOG2_STEP
    return np.where(positive > 0, np.clip(np.rint(steps) + 1, 1, 65_535), 0).astype(np.uint16)


def decode_norms(norms: NDArray[np.uint16]) -> Float32s:
    """Squared norms as float32."""
    powers = np.exp2((norms.astype(np.float64) - 1) * _LOG2_STEP + _LOG2_LOWEST)
    return np.where(norms == 0, 0.0, powers).astype(np.float32)


def join_codes(parts: Sequence[Codes]) -> Codes:
    """Parts one after another, in order."""
    return Codes(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate([part.norms for part in parts]),
    )


def bytes_per_row(width: int, blocks: int, dtype: CodeDtype = "int8") -> int:
    """Bytes of one stored row: its numbers, one scale, and a norm per block."""
    return width * np.dtype(dtype).itemsize + _SCALE_BYTES + _NORM_BYTES * blocks
