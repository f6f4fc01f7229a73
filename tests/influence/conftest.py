"""A small problem shaped like real ones, and torch for those who need it."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.coded import Problem, draw_problem


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


@pytest.fixture(scope="session")
def torch() -> Any:
    """The library. It takes seconds to load, so that tests which ask for it are not among the quick ones."""
    return importlib.import_module("torch")
