"""Sums over rows that stand for the whole training set in code space.

Per block, with codes c = V'g and squared norms |g|^2: `weighted` = sum c c' / (lambda + |g|^2), which is n times
the M of DataInf, `plain` = sum c c', from which exact solves are made, and `energy` = sum |g|^2, which makes damping.
All are float64 sums: shards merge by adding, rows leave by subtracting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from influence.arrays import spans as chunks_of
from influence.compact.arrays import Float32s, Float64s
from influence.damping import block_damping
from influence.errors import InvalidRequest

_CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over `rows` rows, taken with weights of `damping` (blocks,).

    `weighted` and `plain` hold one (k_l, k_l) matrix per block, `energy` is (blocks,).
    """

    rows: int
    damping: Float64s
    weighted: tuple[Float64s, ...]
    plain: tuple[Float64s, ...]
    energy: Float64s

    def __add__(self, other: "Moments") -> "Moments":
        return _combine(self, other, 1)

    def __sub__(self, other: "Moments") -> "Moments":
        return _combine(self, other, -1)


def sum_moments(codes: Float32s, squared_norms: Float32s, spans: Sequence[slice], damping: Sequence[float]) -> Moments:
    """Sums over rows with codes (n, K) and squared norms (n, blocks)."""
    total = empty_moments(spans, damping)
    for start, stop in chunks_of(len(codes), _CHUNK_ROWS):
        total = total + _sum_chunk(codes[start:stop], squared_norms[start:stop], spans, total.damping)
    return total


def empty_moments(spans: Sequence[slice], damping: Sequence[float]) -> Moments:
    """The sum over no rows."""
    zeros = tuple(np.zeros((span.stop - span.start,) * 2) for span in spans)
    return Moments(0, np.asarray(damping, np.float64), zeros, zeros, np.zeros(len(spans)))


def mean_weighted(moments: Moments) -> tuple[Float64s, ...]:
    """M_l at the damping the sums were taken with."""
    return tuple(block / max(moments.rows, 1) for block in moments.weighted)


def mean_weighted_at(
    moments: Moments, damping: Sequence[float], sample_codes: Float32s, sample_norms: Float32s, spans: Sequence[slice]
) -> tuple[Float64s, ...]:
    """M_l at another damping, without another pass over the rows.

    The exact M at the sums' own damping plus what the change of damping does to the sample's M: exact where the
    damping is the same or the sample is all rows, and otherwise off only by the sampling error of a difference.
    """
    exact = mean_weighted(moments)
    if np.array_equal(moments.damping, damping):
        return exact
    here = mean_weighted(sum_moments(sample_codes, sample_norms, spans, moments.damping.tolist()))
    there = mean_weighted(sum_moments(sample_codes, sample_norms, spans, damping))
    return tuple(base + new - old for base, new, old in zip(exact, there, here, strict=True))


def damping_of_rows(moments: Moments, parameters: Sequence[int], scale: float) -> list[float]:
    """lambda_l = scale * mean |g_l|^2 / d_l over the rows summed; `parameters` are the blocks' sizes d_l."""
    means = moments.energy / max(moments.rows, 1)
    return [block_damping(float(mean), size, scale) for mean, size in zip(means, parameters, strict=True)]


def _sum_chunk(codes: Float32s, squared_norms: Float32s, spans: Sequence[slice], damping: Float64s) -> Moments:
    wide, norms = np.asarray(codes, np.float64), np.asarray(squared_norms, np.float64)
    weights = norms + damping
    weights = np.divide(1.0, weights, out=np.zeros_like(weights), where=weights > 0)
    blocks = [wide[:, span] for span in spans]
    return Moments(
        len(wide),
        damping,
        tuple((block.T * weights[:, index]) @ block for index, block in enumerate(blocks)),
        tuple(block.T @ block for block in blocks),
        norms.sum(0),
    )


def _combine(left: Moments, right: Moments, sign: int) -> Moments:
    if not np.array_equal(left.damping, right.damping):
        raise InvalidRequest(
            "Moments taken with different damping cannot be added.",
            hint="Take them again with the damping that the index's basis was fitted with.",
        )
    return Moments(
        left.rows + sign * right.rows,
        left.damping,
        tuple(one + sign * other for one, other in zip(left.weighted, right.weighted, strict=True)),
        tuple(one + sign * other for one, other in zip(left.plain, right.plain, strict=True)),
        left.energy + sign * right.energy,
    )
