"""All rows of an index as codes, with what an inverse curvature is made from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from influence.arrays import spans
from influence.compact.arrays import Float32s, Float64s
from influence.compact.codes import Codes, decode_codes, decode_norms
from influence.compact.encoder import Encoder, Projected
from influence.compact.layout import Layout
from influence.compact.moments import Moments, damping_of_rows, mean_weighted_at
from influence.contracts.index import CodeDtype

#: Bytes of decoded codes, float64, that are held at a time.
_CHUNK_BYTES = 64 << 20
#: Rows that enter a sum together: sums over parts are those over all rows where each begins at a multiple of it.
MOMENT_ROWS = 1 << 16


class InCodeSpace(Protocol):
    """Rows as `codes` (n, K) and exact `squared_norms` (n, blocks), both float32: projected, or read back."""

    @property
    def codes(self) -> Float32s: ...

    @property
    def squared_norms(self) -> Float32s: ...


@dataclass(frozen=True)
class Stored:
    """Stored rows in code space, decoded when looked at: many a size needs the norms alone."""

    stored: Codes
    layout: Layout

    @cached_property
    def codes(self) -> Float32s:
        return self.layout.decode(decode_codes(self.stored))

    @cached_property
    def squared_norms(self) -> Float32s:
        return decode_norms(self.stored.norms)


@dataclass(frozen=True)
class CodedRows:
    """The rows' `codes` (n,), the `encoder` that made them and the `moments` that are sums over the same rows.

    Where `codes` are only some of the rows, `read_mean` gives `mean_stored` of them all.
    """

    encoder: Encoder
    moments: Moments
    codes: Codes
    read_mean: Callable[[], Float64s] | None = None

    @classmethod
    def encode(cls, encoder: Encoder, rows: Projected, dtype: CodeDtype = "int8") -> "CodedRows":
        """An index of projected rows."""
        return cls(encoder, encoder.sum_moments(rows), encoder.encode(rows, dtype))

    def __len__(self) -> int:
        return len(self.codes)

    def damping(self, scale: float) -> list[float]:
        """lambda_l of every block at a damping scale."""
        return damping_of_rows(self.moments, self.encoder.parameters, scale)

    def weighted_at(self, damping: Sequence[float]) -> tuple[Float64s, ...]:
        """DataInf's moments (k_l, k_l) per block at any damping, see `mean_weighted_at`."""
        sample = self.encoder.sample
        return mean_weighted_at(self.moments, damping, sample.codes, sample.squared_norms, self.encoder.basis.spans)

    def mean_plain(self) -> tuple[Float64s, ...]:
        """1/n sum c c' (k_l, k_l) per block."""
        return tuple(block / max(self.moments.rows, 1) for block in self.moments.plain)

    @cached_property
    def mean_stored(self) -> Float64s:
        """1/n sum z z' of the stored numbers, (P, P), in one pass."""
        if self.read_mean is not None:
            return self.read_mean()
        width = self.encoder.layout.width
        return np.asarray(self.add_stored(np.zeros((width, width))) / max(len(self), 1), np.float64)

    def add_stored(self, total: Float64s) -> Float64s:
        """`total` (P, P) and the sum of z z' of these rows, added up in their order."""
        total = total.copy()
        for start, stop in spans(len(self), MOMENT_ROWS):
            values = decode_codes(self.codes.take(slice(start, stop))).astype(np.float64)
            total += values.T @ values
        return total

    @cached_property
    def mean_joint(self) -> Float64s:
        """1/n sum c c' over all blocks together, (K, K), from the stored numbers in one pass."""
        unmix = self.encoder.layout.unmix.astype(np.float64)
        return np.asarray(unmix.T @ self.mean_stored @ unmix, np.float64)

    def take(self, rows: slice) -> Stored:
        """Consecutive rows, by position."""
        return Stored(self.codes.take(rows), self.encoder.layout)

    def chunks(self) -> Iterator[tuple[slice, Stored]]:
        """Walk the rows once, with decoded codes of bounded size."""
        rows = max(1, _CHUNK_BYTES // (8 * max(self.encoder.basis.width, 1)))
        rows = min(1 << (rows.bit_length() - 1), MOMENT_ROWS)  # so that parts are cut alike
        for start, stop in spans(len(self), rows):
            yield slice(start, stop), self.take(slice(start, stop))
