"""A small problem shaped like real ones: fast decaying spectra, loud and quiet rows, blocks of every awkward kind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

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


def score_by_definition(problem: Problem, damping: list[float]) -> NDArray[np.float64]:
    """-influence (m, n) of DataInf, block by block, in float64."""
    total = np.zeros((len(problem.test[0]), len(problem.train[0])))
    for train, test, scale in zip(problem.train, problem.test, damping, strict=True):
        if scale == 0:
            continue
        weights = 1 / (scale + (train**2).sum(1))
        total += (test - ((test @ train.T) * weights) @ train / len(train)) @ train.T / scale
    return total


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    return draw_problem


@pytest.fixture(scope="session")
def problem() -> Problem:
    return draw_problem(0)


@pytest.fixture(scope="session")
def true_scores() -> Callable[[Problem, list[float]], NDArray[np.float64]]:
    return score_by_definition
