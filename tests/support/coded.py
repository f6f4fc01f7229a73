"""Gradients shaped like real ones, and the codes of an index made of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from influence.compact.coded_rows import CodedRows
from influence.compact.encoder import fit_encoder
from influence.contracts.index import CodeDtype, Metric

Blocks = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Problem:
    """Gradients (rows, d_l) per block in float64, training and test; block 2 is all zero, block 3 is narrow."""

    train: Blocks
    test: Blocks

    @property
    def damping(self) -> list[float]:
        return [0.1 * float((block**2).sum(1).mean()) / block.shape[1] for block in self.train]


def draw_problem(seed: int, rows: int = 300, tests: int = 12) -> Problem:
    """Fast decaying spectra, loud and quiet rows, blocks of every awkward kind."""
    rng = np.random.default_rng(seed)
    loudness = np.exp(rng.normal(size=rows + tests))
    shared = rng.normal(size=(rows + tests, 40)) * 0.8 ** np.arange(40)
    blocks = []
    for width in (900, 60, 50, 3):
        mixing = rng.normal(size=(40, width)) / np.sqrt(width)
        noise = 0.02 * rng.normal(size=(rows + tests, width)) / np.sqrt(width)
        blocks.append((shared @ mixing + noise) * loudness[:, None] * 10.0 ** rng.uniform(-2, 0))
    blocks[2] = np.zeros_like(blocks[2])
    return Problem([block[:rows] for block in blocks], [block[rows:] for block in blocks])


def code_rows(
    train: Any,
    *,
    rank: int,
    directions: int | None = None,
    sample: int | None = None,
    dtype: CodeDtype = "int8",
    metric: Metric = "gradient",
) -> CodedRows:
    """The rows of an index whose basis was fitted to the first `sample` of them, all by default."""
    encoder = fit_encoder([block[:sample] for block in train], rank=rank, directions=directions, metric=metric)
    return CodedRows.encode(encoder, encoder.project(train), dtype)
